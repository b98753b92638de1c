"""From pixels to a file behind a URL: encoded with its parameters inside, uploaded to the
operator's bucket or the job's own, or carried in the answer where no upload works.
"""
