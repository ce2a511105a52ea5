"""`radikal-datasets hub`: serve the embedded Hub, and administer it through its folder, whether it runs or not.

Exit codes: 0 done; 1 `verify` found a missing or corrupt object; 2 the command failed.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from .client_faults import RequestError
from .content_store import ObjectStore
from .database import Database
from .names import check_name

MISSING_EXTRA = 'Serving a Hub requires starlette and uvicorn. Run pip install "radikal-datasets[hub]"'
RESERVED = frozenset({"api", "buckets", "datasets", "models", "spaces"})  # first segments of a Hub's own addresses
_CANNOT = 2
# httpx2 keeps an idle connection for 5 s, as does uvicorn: a request could meet one that is just being closed.
_KEEP_ALIVE_SECONDS = 75

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Your own Hub.")
users = typer.Typer(no_args_is_help=True, help="Manage users. The name of a user or organization is a namespace.")
tokens = typer.Typer(no_args_is_help=True, help="Manage the tokens that authenticate users; only hashes are stored.")
app.add_typer(users, name="user")
app.add_typer(tokens, name="token")

Root = Annotated[Path, typer.Option("--root", help="The Hub's folder.")]


class Role(StrEnum):
    """What a token allows."""

    READ = "read"
    WRITE = "write"


@app.command()
def serve(
    root: Root,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port.")] = 7860,
) -> None:
    """Serve the Hub in a folder, which is created if it does not exist, until it is stopped (Ctrl-C)."""
    try:
        import uvicorn

        from .app import create_app
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn"):
            raise
        _fail(MISSING_EXTRA)
    _make_folder(root)
    with _only_server(root):
        config = uvicorn.Config(
            create_app(root), host=host, port=port, log_level="warning", timeout_keep_alive=_KEEP_ALIVE_SECONDS
        )
        listener = config.bind_socket()  # reports it and exits if the port is taken
        # Connections inherit it. asyncio does not set it for such a socket, and each answer would wait 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _announce(root, host, listener.getsockname()[1])
        uvicorn.Server(config).run(sockets=[listener])


@users.command("add")
def add_user(
    name: Annotated[str, typer.Argument(help="The user's name and namespace.")],
    root: Root,
    org: Annotated[
        list[str] | None,
        typer.Option(help="An organization to join; created if it does not exist. May be repeated."),
    ] = None,
) -> None:
    """Add a user, or memberships to one. Members read and write all repositories of their organizations."""
    with _printing_faults():
        for namespace in (name, *(org or ())):
            if check_name(namespace).lower() in RESERVED:
                raise RequestError(400, f"{namespace} is reserved: addresses of the Hub itself begin with it.")
        _make_folder(root)
        Database(root).add_user(name, org or ())
    typer.echo(f"{name}: {', '.join(['namespace ' + name, *(f'member of {o}' for o in org or ())])}")
    typer.echo(f"A token for {name}: radikal-datasets hub token create {name} --role write --root {root}")


@users.command("list")
def list_users(root: Root) -> None:
    """List users and their organizations."""
    for name, organizations in _database(root).users().items():
        typer.echo(f"{name}\t{', '.join(organizations)}".rstrip())


@tokens.command("create")
def create_token(
    user: Annotated[str, typer.Argument(help="The token's user.")],
    root: Root,
    role: Annotated[Role, typer.Option(help="write: everything that the user may do; read: no changes.")] = Role.READ,
) -> None:
    """Create a token and print it on the last line. It is shown only once, since only its hash is stored."""
    with _printing_faults():
        token = _database(root).add_token(user, role.value)
    typer.echo(f"A {role.value} token for {user}. It will not be shown again:", err=True)
    typer.echo(token)


@tokens.command("list")
def list_tokens(user: Annotated[str, typer.Argument(help="The tokens' user.")], root: Root) -> None:
    """List a user's tokens: the id for revoking it, its role, and its creation time."""
    database = _database(root)
    if user.lower() not in (name.lower() for name in database.users()):
        _fail(f"There is no user {user} in {root}.")
    for digits, role, created in database.tokens(user):
        made = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(created))
        typer.echo(f"{digits}\t{role}\t{made}")


@tokens.command("revoke")
def revoke_token(
    token: Annotated[str, typer.Argument(help="The token, or the id that `token list` shows.")], root: Root
) -> None:
    """Revoke a token immediately."""
    if not _database(root).revoke(token):
        _fail(f"There is no such token in {root}. radikal-datasets hub token list USER --root {root} shows their ids.")
    typer.echo("Revoked.")


@app.command()
def verify(root: Root) -> None:
    """Hash every object again and list those that are missing, corrupt, or unreferenced.

    Exits with 1 if one is missing or corrupt. The server may be running.
    """
    database, store = _database(root), ObjectStore(root)
    referred = database.objects()
    missing = corrupt = 0
    for sha256 in sorted(referred):
        intact = store.is_intact(sha256)
        if intact is None:
            missing += 1
            typer.echo(f"missing {sha256}: {store.path(sha256)}")
        elif not intact:
            corrupt += 1
            typer.echo(f"corrupt {sha256}: {store.path(sha256)}")
    unreferenced = [path for path in store.all() if path.name not in referred]
    # Anything that has arrived since the first pass is referenced by now.
    unreferenced = [path for path in unreferenced if path.name not in database.objects()] if unreferenced else []
    for path in unreferenced:
        typer.echo(f"unreferenced {path.name}: {path}")
    typer.echo(f"{len(referred)} objects: {missing} missing, {corrupt} corrupt; {len(unreferenced)} unreferenced")
    raise typer.Exit(1 if missing or corrupt else 0)


def _announce(root: Path, host: str, port: int) -> None:
    shown = f"[{host}]" if ":" in host else host
    endpoint = f"http://{shown}:{port}"
    typer.echo(f"The Hub in {root} is at {endpoint}. Clients set:")
    typer.echo(f"  export HF_ENDPOINT={endpoint}")
    typer.echo(f"  export HF_TOKEN=...            # radikal-datasets hub token create USER --role write --root {root}")
    typer.echo("  export HF_HUB_DISABLE_XET=1    # for hf, huggingface_hub, datasets; not needed by radikal-datasets")
    if not _is_loopback(host):
        typer.echo(
            f"Warning: {host} can be reached from other machines, and this Hub does not encrypt: tokens and images "
            "cross the network in plain text. See docs/hub-server.md for a reverse proxy.",
            err=True,
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _make_folder(root: Path) -> None:
    root.mkdir(mode=0o700, parents=True, exist_ok=True)  # it holds the signing secret, and private images


def _database(root: Path) -> Database:
    if not (root / "hub.sqlite").is_file():
        _fail(f"{root} is not a Hub's folder. radikal-datasets hub user add NAME --root {root} creates one.")
    return Database(root)


@contextmanager
def _only_server(root: Path) -> Iterator[None]:
    """Allow one server per folder: two would remove each other's partially received files."""
    if os.name == "nt":
        yield
        return
    import fcntl

    with (root / "serve.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with the process, however that ends
        except BlockingIOError:
            _fail(f"{root} is already being served by another process. Stop it first, or use another folder.")
        yield


@contextmanager
def _printing_faults() -> Iterator[None]:
    try:
        yield
    except RequestError as fault:
        _fail(fault.message)


def _fail(message: str) -> NoReturn:
    typer.echo(f"radikal-datasets hub: {message}", err=True)
    raise typer.Exit(_CANNOT)
