"""`python -m builder.deploy`: plan, create, update or verify."""

import os
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Any

from builder.deploy import api, body, costs, options, plan
from builder.deploy.api import Api, Endpoint
from builder.deploy.errors import CannotDeploy
from builder.deploy.verify import command as verify
from builder.deploy.wanted import Wanted, check_pools, read


def main(arguments: list[str] | None = None) -> None:
    """Do what the command line says; end with a sentence where that can't be done."""
    chosen = options.parse(arguments)
    commands: dict[str, Callable[[Namespace], bool]] = {
        "plan": _plan,
        "create": _create,
        "update": _update,
        "verify": lambda chosen: verify.run(chosen, _key(), lambda cost: _agree(cost, chosen.yes)),
    }
    try:
        is_fine = commands[chosen.command](chosen)
    except CannotDeploy as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Interrupted.")
    sys.exit(0 if is_fine else 1)


def _plan(chosen: Namespace) -> bool:
    wanted = _wanted(chosen)
    if not _key() and not chosen.endpoint:
        _show_creation(wanted, {})
        print("\nWithout RUNPOD_API_KEY it isn't known which endpoints and pools there are.")
        return True
    runpod = _api()
    if current := _current(runpod, wanted, chosen.endpoint):
        _show_update(runpod, wanted, current, rename=bool(chosen.endpoint))
    else:
        _show_creation(wanted, costs.offered(runpod.gpus()))
    return True


def _create(chosen: Namespace) -> bool:
    wanted, runpod = _wanted(chosen), _api()
    if chosen.endpoint:
        raise CannotDeploy("--endpoint is one that exists: use update.")
    if current := _current(runpod, wanted, None):
        print(f"There is an endpoint of this name already: {current['id']}.\n")
        return _change(runpod, wanted, current, chosen.yes, rename=False)
    made = _show_creation(wanted, costs.offered(runpod.gpus()))
    if not _agree("Create it?", chosen.yes):
        return False
    endpoint, was_lost = runpod.create(made)
    if was_lost:
        print("Runpod's answer was lost on the way, but the endpoint is there.")
    print(f"\nCreated {endpoint['name']}: https://api.runpod.ai/v2/{endpoint['id']}")
    print(plan.next_steps(endpoint, wanted, made["env"], is_new=True))
    return True


def _update(chosen: Namespace) -> bool:
    wanted, runpod = _wanted(chosen), _api()
    current = _current(runpod, wanted, chosen.endpoint)
    if current is None:
        raise CannotDeploy(
            f"There is no endpoint {wanted.name}: create it, or name another by --endpoint."
        )
    return _change(runpod, wanted, current, chosen.yes, rename=bool(chosen.endpoint))


def _change(
    runpod: Api, wanted: Wanted, current: Endpoint, is_agreed: bool, *, rename: bool
) -> bool:
    patch = _show_update(runpod, wanted, current, rename=rename)
    if patch and not _agree("Change it?", is_agreed):
        return False
    env: dict[str, str] = patch.get("env") or current.get("env") or {}
    if patch:
        _look_again(runpod, wanted, current, patch, rename=rename)
        runpod.update(current["id"], patch)
        print("\nChanged. A new image or variables reach workers as they are replaced.")
    print(plan.next_steps(current, wanted, env, is_new=False))
    return True


def _look_again(
    runpod: Api, wanted: Wanted, shown: Endpoint, patch: dict[str, Any], *, rename: bool
) -> None:
    """Hold what is to be sent against the endpoint as it is by now.

    Variables and workers are sent as a whole, so what somebody changed meanwhile would be undone.
    """
    now = runpod.endpoint(shown["id"])
    if body.update(wanted, now, runpod.gpus(), rename=rename).body != patch:
        raise CannotDeploy("The endpoint was changed meanwhile: run this again.")


def _show_creation(wanted: Wanted, today: Mapping[str, float | None]) -> dict[str, Any]:
    made = body.creation(wanted)
    check_pools(made["gpu"]["pools"], today)
    print(plan.creation(made, wanted, today))
    return made


def _show_update(runpod: Api, wanted: Wanted, current: Endpoint, *, rename: bool) -> dict[str, Any]:
    gpus = runpod.gpus()
    today = costs.offered(gpus)
    check_pools(wanted.pools or [], today)
    patch = body.update(wanted, current, gpus, rename=rename)
    print(plan.update(current, patch.changes, patch.body, today))
    return patch.body if patch.changes else {}


def _current(runpod: Api, wanted: Wanted, endpoint_id: str | None) -> Endpoint | None:
    if endpoint_id:
        return runpod.endpoint(endpoint_id)
    if not wanted.name:
        raise CannotDeploy("Give the endpoint's name: in the file, or by --name.")
    found = api.named(runpod.endpoints(), wanted.name)
    if len(found) > 1:
        ids = ", ".join(each["id"] for each in found)
        raise CannotDeploy(f"Several endpoints are called {wanted.name}: say --endpoint, of {ids}.")
    return found[0] if found else None


def _wanted(chosen: Namespace) -> Wanted:
    path = chosen.file
    if path is None and options.DEFAULT_FILE.exists():
        path = options.DEFAULT_FILE
    return read(path, options.flags(chosen))


def _api() -> Api:
    if not _key():
        raise CannotDeploy(
            "Set RUNPOD_API_KEY to a key from https://console.runpod.io/user/settings that may "
            "read and write Serverless."
        )
    return Api(_key(), os.environ.get("RUNPOD_API_URL") or api.RUNPOD)


def _key() -> str:
    return os.environ.get("RUNPOD_API_KEY", "").strip()


def _agree(question: str, is_agreed: bool) -> bool:
    if is_agreed:
        return True
    if not sys.stdin.isatty():
        raise CannotDeploy("Nobody can be asked here: add --yes to do this without a question.")
    try:
        is_agreed = input(f"\n{question} [y/N] ").strip().lower() in ("y", "yes")
    except (EOFError, UnicodeDecodeError):
        print()
        is_agreed = False
    if not is_agreed:
        print("Nothing was done.")
    return is_agreed


if __name__ == "__main__":
    main()
