"""The service on the command line: run it, and manage its API keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vultus.cli.output import FAILED, JsonOption, RecognizerOption, fail, note, print_json, table

if TYPE_CHECKING:
    from vultus.gallery import Key
    from vultus.service import Settings

app = typer.Typer(
    help="Run the service: web console and REST; manage its API keys.", no_args_is_help=False
)
keys = typer.Typer(help="API keys of the service.", no_args_is_help=True)
app.add_typer(keys, name="keys")

FileOption = Annotated[Path, typer.Option("--file", help="File of the keys.", show_default=False)]


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    galleries: Annotated[
        Path | None, typer.Option(help="Folder of the galleries, one folder each.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Settings in TOML; options win.")] = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; 127.0.0.1 if not given.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port; 8080 if not given, 0 for any.")] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            help="File with the key of the galleries. If not given: the variable VULTUS_KEY, then "
            "the user's default key file, which is made if there is none."
        ),
    ] = None,
    api_keys: Annotated[
        Path | None, typer.Option(help="File of API keys; with it every request needs one.")
    ] = None,
    audit_log: Annotated[
        Path | None, typer.Option(help="File for enrolments, searches and deletions.")
    ] = None,
    evaluations: Annotated[
        Path | None, typer.Option(help="Folder of reports of 'vultus evaluate --out', to show.")
    ] = None,
    compreface_gallery: Annotated[
        str | None, typer.Option(help="Gallery behind the CompreFace-compatible routes.")
    ] = None,
    provider: Annotated[
        str | None, typer.Option(help="Where networks run: cpu, cuda, openvino.")
    ] = None,
    recognizer: RecognizerOption = None,
    open_: Annotated[
        bool, typer.Option("--open", help="Let everyone on the network in without a key.")
    ] = False,
) -> None:
    """Serve the verbs over HTTP, to this machine only unless told otherwise."""
    if context.invoked_subcommand is not None:
        return
    _require_extra()
    from vultus.service.server import run
    from vultus.service.settings import read_service_settings

    settings = read_service_settings(
        config,
        galleries=galleries,
        host=host,
        port=port,
        gallery_key=key,
        api_keys=api_keys,
        audit_log=audit_log,
        evaluations=evaluations,
        compreface_gallery=compreface_gallery,
        provider=provider,
        recognizer=recognizer,
        open=True if open_ else None,
    )
    if not run(_with_key(settings)):
        raise typer.Exit(FAILED)


@keys.command("add")
def add(
    file: FileOption,
    label: Annotated[str, typer.Option(help="Whose key this is, for people.")],
    scope: Annotated[
        list[str], typer.Option(help="read, write, admin (both of these) or templates. Repeatable.")
    ],
    json: JsonOption = False,
) -> None:
    """Make a key and print it, this once; the file keeps only its hash."""
    _require_extra()
    from vultus.service.keys import add_key

    record, secret = add_key(file, label, scope)
    if json:
        print_json({"id": record.id, "scopes": list(record.scopes), "key": secret})
    else:
        typer.echo(secret)
        note(f"key {record.id} with {', '.join(record.scopes)}; it is not shown again")


@keys.command("list")
def list_(file: FileOption, json: JsonOption = False) -> None:
    """List the keys with scopes and state."""
    _require_extra()
    from vultus.service.keys import read_keys

    records = read_keys(file)
    if json:
        names = ("id", "label", "scopes", "created", "revoked")
        print_json([{name: getattr(record, name) for name in names} for record in records])
        return
    rows = [[r.id, r.label, " ".join(r.scopes), r.created, r.revoked or "no"] for r in records]
    table(("id", "label", "scopes", "created", "revoked"), rows)


@keys.command("revoke")
def revoke(
    identifier: Annotated[str, typer.Argument(help="Id of the key.", show_default=False)],
    file: FileOption,
) -> None:
    """Refuse a key from now on; running services notice by themselves."""
    _require_extra()
    from vultus.service.keys import revoke_key

    record = revoke_key(file, identifier)
    typer.echo(f"key {record.id} is revoked since {record.revoked}")


@app.command("person-ref")
def person_ref(
    person: Annotated[str, typer.Argument(help="Name of the person.", show_default=False)],
    key: Annotated[Path | None, typer.Option(help="File with the key of the galleries.")] = None,
) -> None:
    """Print how the audit log names a person."""
    _require_extra()
    from vultus.service.audit import person_ref as ref

    typer.echo(ref(_load_key(key), person))


def _with_key(settings: Settings) -> Settings:
    """Return settings that name a key file that exists, unless the environment holds the key."""
    import os
    from dataclasses import replace

    from vultus.gallery import Key
    from vultus.gallery.keys import KEY_VARIABLE

    if settings.gallery_key is None and os.environ.get(KEY_VARIABLE):
        return settings
    file = settings.gallery_key or _default_key_file()
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        Key.generate().save(file)
        note(f"made the key {file}; without it the galleries are useless: keep a copy elsewhere")
    return replace(settings, gallery_key=file)


def _load_key(file: Path | None) -> Key:
    import os

    from vultus.gallery import Key
    from vultus.gallery.keys import KEY_VARIABLE

    if file is None and os.environ.get(KEY_VARIABLE):
        return Key.load()
    return Key.load(file or _default_key_file())


def _default_key_file() -> Path:
    from vultus.cli.opening import default_key_file

    return default_key_file()


def _require_extra() -> None:
    from importlib.util import find_spec

    wanted = ("fastapi", "uvicorn", "python_multipart", "jinja2")
    missing = [name for name in wanted if not find_spec(name)]
    if missing:
        fail("the service needs further packages: pip install 'vultus[serve]'")
