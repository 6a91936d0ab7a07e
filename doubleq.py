"""The command line: trained ResNets to quantized networks, Verilog, proofs and figures."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from commands import bench, cores, hardware, networks
from commands.options import Json, Target, application
from console import Output

# What typer makes of Ctrl-C.
INTERRUPTED = 130

app = application(__doc__)
app.add_typer(networks.app)
app.add_typer(hardware.app)
app.add_typer(cores.app)
app.add_typer(bench.app, name="bench")


@app.command()
def demo(output: Target = Path("rtl_out/demo"),
         report: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("report.html"),
         pes: Annotated[int, typer.Option(help="PEs of each array.")] = 64,
         json: Json = False) -> None:
    """The main job on the shipped network, from float to figures, in a few minutes.

    Quantizes resnet8 on the digits with the three schemes, generates two arrays for each,
    co-simulates a real layer on them, synthesizes them, has a whole network classify digits in
    simulated hardware, and writes a report with plots.

    JSON keys: networks, arrays, core, weights, report.

    Example: doubleq demo --pes 16
    """
    from demo import run
    out = Output(json)
    out.result(run(output, report, pes=pes, out=out))


@app.command()
def info(path: Annotated[Path | None, typer.Argument(
        help="Artefact or generated Verilog to describe.")] = None, json: Json = False) -> None:
    """What is installed and known; or what an artefact or generated Verilog is.

    JSON keys: versions, simulators, models, formats, schemes, structures, devices, boards. Of an
    artefact: artefact, model, scheme, formats, conv_bytes, full_bytes, about. Of generated Verilog
    those of its sidecar.

    Example: doubleq info
    """
    from inventory import describe, installed
    out = Output(json)
    result = installed() if path is None else describe(path)
    for key, value in result.items():
        out.say(f"{key}: {value}")
    out.result(result)


def main(arguments: list[str] | None = None) -> None:
    """Runs a command; bad input is one line on standard error and exit code 2."""
    try:
        # Commands return nothing: what comes back is the code of typer.Exit.
        code = app(arguments, standalone_mode=False)
        if code == INTERRUPTED:
            raise KeyboardInterrupt
    except typer.TyperException as error:
        code = _refuse(error.format_message())
    except (ValueError, OSError) as error:
        code = _refuse(str(error))
    except KeyboardInterrupt:
        code = _refuse("interrupted; nothing half-written is left")
    sys.exit(code or 0)


def _refuse(message: str) -> int:
    first = " ".join(message.split())
    print(f"doubleq: {first}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
