"""Commands on the machine: doctor."""

from __future__ import annotations

import typer

from vultus.cli.output import FAILED, JsonOption, print_json, table


def doctor(json: JsonOption = False) -> None:
    """Report versions, providers with a timed probe, and whether the weights are in order.

    Exits with 1 where something stands in the way of the default commands.
    """
    from vultus import runtime
    from vultus.runtime.environment import environment

    found = environment()
    status = {weight.id: runtime.verify(weight.id) for weight in runtime.list_weights()}
    cpu = found.providers["cpu"]
    damaged = [name for name, state in status.items() if state == "damaged"]
    if json:
        print_json(found.to_dict() | {"weights": status})
    else:
        machine = [["python", found.python], ["system", found.system]]
        machine += [["processor", f"{found.processor}, {found.cpus} processors"]]
        machine += [["weights in", found.home], ["network", "off" if found.offline else "allowed"]]
        table(("machine", ""), machine + sorted(map(list, found.packages.items())))
        rows = [
            [
                name,
                "yes" if probe.error is None else "no",
                probe.milliseconds or "",
                probe.error or "",
            ]
            for name, probe in found.providers.items()
        ]
        table(("provider", "runs", "probe ms", "why not"), rows)
        table(("weight", "status"), status.items())
    if cpu.error is not None or damaged:
        raise typer.Exit(FAILED)
