"""ksctl voicemail: messages in mailboxes, the addresses to which they go out, and the PINs that open them."""

from __future__ import annotations

from pathlib import Path

import click

from callcore.speech import LANGUAGES
from kalibri.services import voicemail
from kalibri.services.voicemail import VoiceMessage
from tools.ksctl.app import App, pass_app
from tools.ksctl.commands.recording import me, plays
from tools.ksctl.options import tenant_filter_option, tenant_option
from tools.ksctl.output import Column, output_option, say, show, show_one
from tools.ksctl.passwords import read_password

message_argument = click.argument("message", metavar="ID")


def _length(message: VoiceMessage) -> str:
    minutes, seconds = divmod(round(message.duration_ms / 1000), 60)
    return f"{minutes}:{seconds:02}"


COLUMNS = (
    "left_at",
    "recording_id",
    "tenant",
    "mailbox",
    "caller",
    Column("length", value=_length),
    Column("state", value=lambda message: "new" if message.heard_at is None else "heard"),
    "letter",
    Column("error", value=lambda message: message.letter_error),
)
BOX_COLUMNS = ("tenant", "mailbox", "new", "heard", "unsent", "recipients")


@click.group("voicemail")
def cli() -> None:
    """Voice mail: list, play, mark as heard, remove; and the addresses of mailboxes."""


@cli.command("list")
@tenant_filter_option
@click.argument("mailbox", required=False)
@click.option("--new/--heard", "is_new", default=None, help="Only new messages, or only those heard.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many.")
@output_option
@pass_app
def list_(
    app: App, tenant: str | None, mailbox: str | None, is_new: bool | None, limit: int, output: str
) -> None:
    """List messages, the latest first; MAILBOX is a user name, or what a scenario calls it."""
    found = voicemail.list_messages(
        app.conn, tenant_id=app.optional_tenant_id(tenant), mailbox=mailbox, is_new=is_new, limit=limit
    )
    show(found, COLUMNS, output)


@cli.command("boxes")
@tenant_filter_option
@output_option
@pass_app
def boxes(app: App, tenant: str | None, output: str) -> None:
    """List the mailboxes that have messages or addresses; unsent: letters that no mail server took so far."""
    show(voicemail.list_mailboxes(app.conn, tenant_id=app.optional_tenant_id(tenant)), BOX_COLUMNS, output)


@cli.command("show")
@tenant_option
@message_argument
@output_option
@pass_app
def show_(app: App, tenant: str, message: str, output: str) -> None:
    """Show a message; the first digits of its id will do."""
    show_one(voicemail.find(app.conn, tenant_id=app.tenant_id(tenant), message=message), output)


@cli.command("play")
@tenant_option
@message_argument
@click.option("--path", "only_path", is_flag=True, help="Only print where the file lies.")
@pass_app
def play(app: App, tenant: str, message: str, only_path: bool) -> None:
    """Play a message, which makes it heard. Without a sound device its path is printed."""
    tenant_id = app.tenant_id(tenant)
    path = voicemail.sound(app.conn, app.config, tenant_id=tenant_id, message=message, by=me())
    if only_path or not plays(path):
        click.echo(path)


@cli.command("seen")
@tenant_option
@click.argument("messages", metavar="ID...", nargs=-1, required=True)
@click.option("--new", is_flag=True, help="They are new again.")
@pass_app
def seen(app: App, tenant: str, messages: tuple[str, ...], new: bool) -> None:
    """Mark messages as heard: the lamp of the phone goes out with the last new one."""
    tenant_id = app.tenant_id(tenant)
    for message in messages:
        voicemail.set_heard(app.conn, tenant_id=tenant_id, message=message, heard=not new, by=me())
    say(f"{len(messages)} messages marked as {'new' if new else 'heard'}")


@cli.command("rm")
@tenant_option
@click.argument("messages", metavar="ID...", nargs=-1, required=True)
@click.option("--why", default="", help="For the audit.")
@pass_app
def remove(app: App, tenant: str, messages: tuple[str, ...], why: str) -> None:
    """Remove messages with their recordings."""
    tenant_id = app.tenant_id(tenant)
    for message in messages:
        voicemail.remove(app.conn, tenant_id=tenant_id, message=message, by=me(), why=why)
    say(f"{len(messages)} messages removed")


@cli.command("mail")
@tenant_option
@message_argument
@pass_app
def mail(app: App, tenant: str, message: str) -> None:
    """Have a message sent to the addresses of its mailbox, again if it was sent or given up."""
    found = voicemail.send_again(app.conn, tenant_id=app.tenant_id(tenant), message=message)
    say(f"message {found.recording_id} of mailbox {found.mailbox} is to be sent")


@cli.command("set")
@tenant_option
@click.argument("mailbox")
@click.option("--mail", "recipients", multiple=True, required=True, help="Address (repeat for several).")
@pass_app
def set_(app: App, tenant: str, mailbox: str, recipients: tuple[str, ...]) -> None:
    """Send messages that come from now on by e-mail, with the sound as MP3."""
    voicemail.set_mailbox(app.conn, tenant_id=app.tenant_id(tenant), mailbox=mailbox, recipients=recipients)
    say(f"messages of {mailbox} go to {', '.join(recipients)}")


@cli.command("phone")
@tenant_option
@click.argument("mailbox")
@click.option("--pin", "new_pin", is_flag=True, help="Give it a PIN, which is asked for (or --pin-file).")
@click.option(
    "--pin-file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="Read the PIN from the first line of a file; - is standard input.",
)
@click.option("--no-pin", is_flag=True, help="It opens from the own telephone only.")
@click.option("--language", type=click.Choice(LANGUAGES), help="What is spoken.")
@click.option("--unlock", is_flag=True, help="Forget the PINs that were wrong.")
@output_option
@pass_app
def phone(
    app: App,
    tenant: str,
    mailbox: str,
    new_pin: bool,
    pin_file: Path | None,
    no_pin: bool,
    language: str | None,
    unlock: bool,
    output: str,
) -> None:
    """Show or change how MAILBOX is listened to by telephone: its PIN for other telephones, its language."""
    if no_pin and (new_pin or pin_file):
        raise click.UsageError("--no-pin excludes --pin and --pin-file")
    tenant_id = app.tenant_id(tenant)
    pin = "" if no_pin else read_password(pin_file, what="PIN") if new_pin or pin_file else None
    if pin is None and language is None and not unlock:
        show_one(voicemail.phone_access(app.conn, tenant_id=tenant_id, mailbox=mailbox), output)
        return
    found = voicemail.set_phone(
        app.conn, tenant_id=tenant_id, mailbox=mailbox, pin=pin, language=language, unlock=unlock
    )
    show_one(found, output)


@cli.command("unset")
@tenant_option
@click.argument("mailbox")
@pass_app
def unset(app: App, tenant: str, mailbox: str) -> None:
    """Send messages of a mailbox no more, not even those that wait to be sent."""
    voicemail.drop_mailbox(app.conn, tenant_id=app.tenant_id(tenant), mailbox=mailbox)
    say(f"messages of {mailbox} are not sent")
