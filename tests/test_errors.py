"""Sentences for those who can mend what is wrong."""

from flux_worker.errors import InvalidRequest


def test_what_is_wrong_with_a_request_is_one_sentence_in_the_public_endpoints_form():
    refusal = InvalidRequest("width must be even", "seed is required")
    assert str(refusal) == "Invalid parameter: width must be even; seed is required"
    assert refusal.faults == ("width must be even", "seed is required")
