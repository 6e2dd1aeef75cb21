"""What killed processes leave in memory that they shared, with processes that do so."""
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest

from vortex.serving.sglang.shared import forget, members, shared_by

MAP = ("import mmap, sys\nwith open(sys.argv[1], 'r+b') as file:\n    held = mmap.mmap(file.fileno(), 4096)\n"
       "print('mapped', flush=True)\nsys.stdin.read()\n")


@pytest.fixture
def segment() -> Iterator[Path]:
    with NamedTemporaryFile(dir="/dev/shm", prefix="vortex-test-", delete=False) as file:
        file.truncate(4096)
    path = Path(file.name)
    yield path
    path.unlink(missing_ok=True)


@pytest.fixture
def holder(segment: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """A process, first of its group, that maps the segment."""
    process = subprocess.Popen([sys.executable, "-c", MAP, str(segment)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               start_new_session=True)
    assert process.stdout is not None and process.stdout.readline() == b"mapped\n"
    yield process
    process.kill()
    process.communicate()


def test_what_a_group_shares_is_found_while_it_lives(holder: "subprocess.Popen[bytes]", segment: Path) -> None:
    assert members(holder.pid) == {holder.pid}
    assert shared_by([holder.pid]) == {segment}
    holder.kill()
    holder.wait()
    assert members(holder.pid) == set() and shared_by([holder.pid]) == set()


def test_a_semaphore_is_found_under_the_name_it_was_given_later(holder: "subprocess.Popen[bytes]", segment: Path) -> None:
    kept = segment.with_name(f"{segment.name}-kept")
    kept.hardlink_to(segment)
    segment.unlink()
    assert shared_by([holder.pid]) == {kept}
    forget({kept}, [holder.pid])
    assert not kept.exists()


def test_a_segment_that_somebody_maps_stays(holder: "subprocess.Popen[bytes]", segment: Path) -> None:
    forget({segment})
    assert segment.exists()
    holder.kill()
    holder.wait()
    forget({segment})
    assert not segment.exists()
    forget({segment})


def test_who_is_about_to_end_does_not_count(holder: "subprocess.Popen[bytes]", segment: Path) -> None:
    forget({segment}, [holder.pid])
    assert not segment.exists()
