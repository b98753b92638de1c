from pydantic import SecretStr

from flux_worker.delivery.address import locate
from flux_worker.delivery.bucket import Bucket
from flux_worker.delivery.sick_list import SickList

ADDRESS = locate("https://s3.example.com", "photos")
HERE, THERE = (Bucket(ADDRESS, SecretStr(key), SecretStr("secret")) for key in ("mine", "theirs"))


def test_a_bucket_rests_five_times_as_long_as_it_kept_waiting():
    now = [1000.0]
    sick = SickList(clock=lambda: now[0])
    assert HERE not in sick
    sick.add(HERE, waited=2)
    assert HERE in sick
    assert THERE not in sick
    now[0] += 9.9
    assert HERE in sick
    now[0] += 0.1
    assert HERE not in sick


def test_those_that_are_well_again_are_forgotten():
    now = [1000.0]
    sick = SickList(clock=lambda: now[0])
    sick.add(HERE, waited=2)
    now[0] += 20
    sick.add(THERE, waited=2)
    assert list(sick._until) == [THERE]
