"""AWS's S3 as far as regions go, for a bucket in eu-west-1; reached as an HTTP proxy.

It answers as S3 documents it: a regional host of another region redirects, and the global host
refuses a signature for another region. Neither the secret nor the signature itself is checked.
"""

import hashlib
import re
from urllib.parse import parse_qs, urlsplit

REGION = "eu-west-1"
BUCKET = "photos"
ERROR = "<?xml version='1.0'?><Error><Code>{}</Code><Message>{}</Message>{}</Error>"


class Aws:
    """Keeps objects by their URLs' paths; gives what it was asked in `seen`."""

    def __init__(self):
        self.objects, self.seen = {}, []
        self.tells_region_in_header = True

    def __call__(self, request):
        body = request.body()
        url = urlsplit(request.path)
        self.seen.append((request.command, url.hostname, url.path))
        if fault := self._fault(request, url):
            return request.answer(*fault)
        if request.command == "PUT":
            self.objects[url.path] = body
            return request.answer(200, headers={"ETag": f'"{hashlib.md5(body).hexdigest()}"'})
        if request.command == "DELETE":
            self.objects.pop(url.path, None)
            return request.answer(204)
        return request.answer(200, self.objects[url.path])

    def _fault(self, request, url):
        told = {"x-amz-bucket-region": REGION} if self.tells_region_in_header else {}
        host_region = re.search(r"s3[.-]([a-z]+-[a-z]+-\d)\.amazonaws", url.hostname)
        if host_region and host_region[1] != REGION:
            where = f"<Endpoint>{BUCKET}.s3.{REGION}.amazonaws.com</Endpoint>"
            return 301, self._error("PermanentRedirect", "another endpoint", where), told
        in_url = parse_qs(url.query).get("X-Amz-Credential", [""])[0]
        header = request.headers.get("Authorization", "")
        signed_for = re.search(r"/\d{8}/([a-z0-9-]+)/s3/aws4_request", in_url or header)
        if not signed_for:
            return 403, self._error("AccessDenied", "no signature"), {}
        if signed_for[1] != REGION:
            code = "AuthorizationQueryParametersError" if in_url else "AuthorizationHeaderMalformed"
            text = f"the region '{signed_for[1]}' is wrong; expecting '{REGION}'"
            return 400, self._error(code, text, f"<Region>{REGION}</Region>"), told
        return None

    def _error(self, code, text, more=""):
        return ERROR.format(code, text, more).encode()
