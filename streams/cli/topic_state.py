"""`sluice topics delete`, `backup` and `restore`: all that a deployment keeps in Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from confluent_kafka.admin import AdminClient

from streams.backup.archive import Manifest, check
from streams.backup.restoring import as_saved, restore_topics
from streams.backup.saving import Spans, require_unmoved, save
from streams.cli import options
from streams.cli.bar import progress
from streams.cli.planning import admin_of, planned
from streams.config.settings import Config, load
from streams.kafka.admin import is_embedded
from streams.kafka.deletion import delete_topics, deployed
from streams.kafka.groups import Group, groups_of
from streams.kafka.logs import Logs
from streams.kafka.topic_ids import read_ids
from streams.kafka.topics import Topics

FILES = (
    "Not in the topics, so keep them as well: the configuration, the folder of the index, and the "
    "files of batches."
)


@click.command()
@options.config
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Also while routers, workers or others read them.")
def delete(config_file: Path, yes: bool, force: bool) -> None:
    """Delete all topics of the deployment, with everything in them: queries, answers, ledgers.

    It says first what it will delete, and asks. It refuses while a consumer group of the deployment
    has members. Groups that read nothing else are deleted, too.
    """
    config = load(config_file)
    admin = admin_of(config)
    _refuse_embedded(admin)
    names, groups = _deployment(admin, config)
    if not names:
        click.echo("there are no topics of this deployment")
        return
    if not force:
        _require_idle(groups, "stop them, or use --force")
    for name, parts in _spans(Logs(config.broker), names).items():
        click.echo(f"{name}: {sum(span.size for span in parts):,} records")
    for group in groups:
        click.echo(f"consumer group {group.name}" + (", which stays" if _stays(group) else ""))
    if not yes:
        click.confirm(f"Delete {len(names)} topics from {config.broker.servers}?", abort=True)
    delete_topics(admin, names, groups)
    click.echo(f"{len(names)} topics deleted")


@click.command()
@options.config
@click.argument("folder", type=options.FOLDER)
def backup(config_file: Path, folder: Path) -> None:
    """Write all topics of the deployment to FOLDER, for `sluice topics restore`.

    Routers, workers and `sluice serve` must be stopped, so that all topics are of one moment;
    clients may go on to send queries. FOLDER must be missing or empty.
    """
    config = load(config_file)
    admin, logs, topics = admin_of(config), Logs(config.broker), Topics(config.topics.prefix)
    _refuse_embedded(admin)
    if folder.exists() and any(folder.iterdir()):
        raise click.ClickException(f"{folder} is not empty")
    folder.mkdir(parents=True, exist_ok=True)
    names, groups = _deployment(admin, config)
    if topics.changelog not in names:
        raise click.ClickException("there are no topics of this deployment")
    _require_idle(_writers(groups, config), "stop them first")
    spans = _spans(logs, names)
    with progress() as bar:
        task = bar.add_task("reading topics", total=_size(spans))
        manifest = save(
            folder,
            logs,
            spans,
            read_ids(admin, names),
            config.topics.prefix,
            groups,
            lambda offsets: bar.advance(task, offsets),
        )
    later = _writers(_deployment(admin, config)[1], config)
    _require_idle(later, "they came meanwhile; stop them first")
    require_unmoved(spans, _spans(logs, names), topics.queries)
    manifest.write(folder)
    click.echo(f"{manifest.records:,} records of {len(names)} topics written to {folder}")
    click.echo(FILES)


@click.command()
@options.config
@click.argument("folder", type=options.FOLDER)
def restore(config_file: Path, folder: Path) -> None:
    """Make the topics again from a backup in FOLDER, as they were when it was made.

    Records get the offsets that they had, and consumer groups go on where they were. Topics of the
    deployment must be missing or without records. If it is interrupted, delete the topics (`sluice
    topics delete`) and restore again; routers refuse to start before it has ended.
    """
    config = load(config_file)
    admin, topics = admin_of(config), Topics(config.topics.prefix)
    _refuse_embedded(admin)
    manifest = Manifest.read(folder)
    if manifest.prefix != config.topics.prefix:
        raise click.ClickException(
            f"the backup is of a deployment with the prefix {manifest.prefix!r}, the configuration "
            f"says {config.topics.prefix!r}: decisions are named by their topics"
        )
    wanted = as_saved(manifest, planned(config), topics.routed(""))
    with progress() as bar:
        files = sum(len(topic.partitions) for topic in manifest.topics)
        task = bar.add_task("comparing checksums", total=files)
        check(folder, manifest, lambda done: bar.advance(task, done))
        _make_room(admin, config)
        written = bar.add_task("writing records", total=manifest.records)
        restore_topics(
            folder,
            manifest,
            wanted,
            topics.changelog,
            config.broker,
            admin,
            config.topics.replicas,
            lambda records: bar.advance(written, records),
        )
    click.echo(
        f"{manifest.records:,} records of {len(manifest.topics)} topics restored, and the offsets "
        f"of {len(manifest.groups)} consumer groups"
    )


def _make_room(admin: AdminClient, config: Config) -> None:
    """Delete empty topics of the deployment. Raises ClickException for others, or for readers."""
    names, groups = _deployment(admin, config)
    _require_idle(groups, "stop them first")
    spans = _spans(Logs(config.broker), names)
    if full := [name for name, parts in spans.items() if any(span.end for span in parts)]:
        raise click.ClickException(
            f"these topics have records, and nothing is restored onto them: {', '.join(full)}; "
            "delete them with: sluice topics delete"
        )
    delete_topics(admin, names, groups)


def _deployment(admin: AdminClient, config: Config) -> tuple[list[str], list[Group]]:
    """Return the deployment's topics on the broker, and the groups that read them."""
    routed = Topics(config.topics.prefix).routed("")
    names = deployed(admin, planned(config), routed)
    groups = groups_of(admin, [*names, config.router.id])
    return names, groups


def _spans(logs: Logs, names: Sequence[str]) -> Spans:
    return {name: logs.spans(name) for name in names}


def _size(spans: Spans) -> int:
    return sum(span.size for parts in spans.values() for span in parts)


def _stays(group: Group) -> bool:
    return group.elsewhere or group.members > 0


def _writers(groups: Sequence[Group], config: Config) -> list[Group]:
    """Return the groups whose members write to the deployment's topics, whoever else reads them."""
    topics = Topics(config.topics.prefix)
    routed = topics.routed("")
    return [
        group
        for group in groups
        if group.name in (config.router.id, topics.batches)
        or any(name.startswith(routed) for name in (group.name, *group.reads))
    ]


def _require_idle(groups: Sequence[Group], advice: str) -> None:
    """Raise ClickException where a group has members."""
    if busy := [group for group in groups if group.members]:
        said = ", ".join(f"{group.name} ({group.members})" for group in busy)
        raise click.ClickException(
            f"consumer groups have members: {said}; {advice} (one that was killed counts until its "
            "session ends, some 10 to 45 seconds)"
        )


def _refuse_embedded(admin: AdminClient) -> None:
    if is_embedded(admin):
        raise click.ClickException("an embedded broker keeps nothing that could be kept")
