"""`radikal-datasets hub`: serves the embedded Hub, and administers it by its folder, whether it runs or not.

Exit codes: 0 done; 1 `verify` found a missing or corrupt object; 2 can't be done.
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

MISSING_EXTRA = 'Serving a Hub needs starlette and uvicorn: pip install "radikal-datasets[hub]"'
RESERVED = frozenset({"api", "buckets", "datasets", "models", "spaces"})  # first segments of a Hub's own addresses
_CANNOT = 2
# httpx2 keeps an idle connection for 5 s and so does uvicorn: one of them would be closed under a request.
_KEEP_ALIVE_SECONDS = 75

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="A Hub of one's own."
)
users = typer.Typer(no_args_is_help=True, help="Who may use it. A user's name, or an organisation's, is a namespace.")
tokens = typer.Typer(no_args_is_help=True, help="What users prove themselves by. Kept as hashes.")
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
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 7860,
) -> None:
    """Serves the Hub of a folder, which is made if it is not there, until it is told to stop (Ctrl-C)."""
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
        listener = config.bind_socket()  # says so and exits where the port is taken
        # Connections inherit it. asyncio does not set it for such a socket, and each answer would wait 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _announce(root, host, listener.getsockname()[1])
        uvicorn.Server(config).run(sockets=[listener])


@users.command("add")
def add_user(
    name: Annotated[str, typer.Argument(help="The user's name and namespace.")],
    root: Root,
    org: Annotated[
        list[str] | None, typer.Option(help="An organisation to be a member of; made if it is not there. Repeatable.")
    ] = None,
) -> None:
    """Adds a user, or memberships to one. Members read and write all repositories of their organisations."""
    with _faults_told():
        for namespace in (name, *(org or ())):
            if check_name(namespace).lower() in RESERVED:
                raise RequestError(400, f"{namespace} can't be a namespace: it begins addresses of the Hub itself.")
        _make_folder(root)
        Database(root).add_user(name, org or ())
    typer.echo(f"{name}: {', '.join(['namespace ' + name, *(f'member of {o}' for o in org or ())])}")
    typer.echo(f"A token for {name}: radikal-datasets hub token create {name} --role write --root {root}")


@users.command("list")
def list_users(root: Root) -> None:
    """Lists users and their organisations."""
    for name, organisations in _database(root).users().items():
        typer.echo(f"{name}\t{', '.join(organisations)}".rstrip())


@tokens.command("create")
def create_token(
    user: Annotated[str, typer.Argument(help="Whose.")],
    root: Root,
    role: Annotated[Role, typer.Option(help="write allows all that the user may do, read no change.")] = Role.READ,
) -> None:
    """Makes a token and prints it, alone on the last line: this once, since only its hash is kept."""
    with _faults_told():
        token = _database(root).add_token(user, role.value)
    typer.echo(f"A {role.value} token for {user}. It is not shown again:", err=True)
    typer.echo(token)


@tokens.command("list")
def list_tokens(user: Annotated[str, typer.Argument(help="Whose.")], root: Root) -> None:
    """Lists a user's tokens: the id by which to revoke it, role, and when it was made."""
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
    """Makes a token useless, at once."""
    if not _database(root).revoke(token):
        _fail(f"No such token in {root}. `radikal-datasets hub token list USER --root {root}` shows their ids.")
    typer.echo("Revoked.")


@app.command()
def verify(root: Root) -> None:
    """Re-hashes every object and lists those that are missing, corrupt, or that nothing refers to.

    Exits 1 where one is missing or corrupt. The server may run meanwhile.
    """
    database, store = _database(root), ObjectStore(root)
    referred = database.objects()
    missing = corrupt = 0
    for sha256 in sorted(referred):
        whole = store.is_whole(sha256)
        if whole is None:
            missing += 1
            typer.echo(f"missing {sha256}: {store.path(sha256)}")
        elif not whole:
            corrupt += 1
            typer.echo(f"corrupt {sha256}: {store.path(sha256)}")
    unreferenced = [path for path in store.all() if path.name not in referred]
    # Whatever has arrived since the first look is referred to by now.
    unreferenced = [path for path in unreferenced if path.name not in database.objects()] if unreferenced else []
    for path in unreferenced:
        typer.echo(f"unreferenced {path.name}: {path}")
    typer.echo(f"{len(referred)} objects: {missing} missing, {corrupt} corrupt; {len(unreferenced)} unreferenced")
    raise typer.Exit(1 if missing or corrupt else 0)


def _announce(root: Path, host: str, port: int) -> None:
    shown = f"[{host}]" if ":" in host else host
    endpoint = f"http://{shown}:{port}"
    typer.echo(f"The Hub of {root} is at {endpoint}. Clients set:")
    typer.echo(f"  export HF_ENDPOINT={endpoint}")
    typer.echo(f"  export HF_TOKEN=...            # radikal-datasets hub token create USER --role write --root {root}")
    typer.echo("  export HF_HUB_DISABLE_XET=1    # for hf, huggingface_hub and datasets; radikal-datasets needs none")
    if not _is_loopback(host):
        typer.echo(
            f"Warning: {host} can be reached from other machines, and this Hub has no TLS of its own: tokens and "
            "images go over the network in the clear. See docs/hub-server.md for a reverse proxy.",
            err=True,
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _make_folder(root: Path) -> None:
    root.mkdir(mode=0o700, parents=True, exist_ok=True)  # it holds what addresses are signed with, and private images


def _database(root: Path) -> Database:
    if not (root / "hub.sqlite").is_file():
        _fail(f"{root} is no Hub's folder. radikal-datasets hub user add NAME --root {root} makes one.")
    return Database(root)


@contextmanager
def _only_server(root: Path) -> Iterator[None]:
    """Two servers of one folder would remove each other's half-received files."""
    if os.name == "nt":
        yield
        return
    import fcntl

    with (root / "serve.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with the process, however that ends
        except BlockingIOError:
            _fail(f"{root} is served by another process already.")
        yield


@contextmanager
def _faults_told() -> Iterator[None]:
    try:
        yield
    except RequestError as fault:
        _fail(fault.message)


def _fail(message: str) -> NoReturn:
    typer.echo(f"radikal-datasets hub: {message}", err=True)
    raise typer.Exit(_CANNOT)
