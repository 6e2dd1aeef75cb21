"""The book of one candidate: the rows and results that the funnel writes as they come, and reads when it resumes."""
import math
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from evaluator.report import Row, StageResult
from search.candidate import Candidate
from search.store.convert import result_of, result_values, row_of
from search.store.database import Database
from search.store.tables import ProblemRow, StageResultRow


@dataclass(frozen=True)
class CandidateBook:
    """What a call writes is on disk before it returns. `dense_id` is the campaign's dense control, if it has one."""

    database: Database
    candidate: Candidate
    dense_id: int | None
    environment_id: int | None = None

    def rows(self, stage: str) -> Sequence[Row]:
        """In the order in which they came."""
        return self._rows_of(self.candidate.id, stage)

    def dense(self, stage: str) -> Sequence[Row]:
        """The dense control's rows for the same stage; none before it was measured."""
        return () if self.dense_id is None else self._rows_of(self.dense_id, stage)

    def add(self, row: Row) -> None:
        """The first row of a (problem, repeat) stays: adding it again changes nothing. Raises ArchiveError."""
        assert all(math.isfinite(value) for value in (row.score, row.exact, row.seconds)), row
        key = {"candidate_id": self.candidate.id, "stage": row.stage, "problem": row.problem, "repeat": row.repeat}
        with self.database.write() as session:
            if session.scalar(select(ProblemRow.id).filter_by(**key)) is None:
                session.add(ProblemRow(**key, score=row.score, exact=row.exact, seconds=row.seconds,
                                       data=dict(row.data)))

    def result(self, stage: str) -> StageResult | None:
        """How the stage ended; None while it has not."""
        with self.database.read() as session:
            found = session.scalar(select(StageResultRow).filter_by(candidate_id=self.candidate.id, stage=stage))
            return None if found is None else result_of(found)

    def close(self, result: StageResult) -> None:
        """Writes how a stage ended; a stage that is run again, after a fault of the infrastructure, ends anew."""
        values = {**result_values(result), "environment_id": self.environment_id}
        with self.database.write() as session:
            query = select(StageResultRow).filter_by(candidate_id=self.candidate.id, stage=result.stage)
            found = session.scalar(query)
            if found is None:
                session.add(StageResultRow(candidate_id=self.candidate.id, **values))
                return
            for name, value in values.items():
                setattr(found, name, value)

    def _rows_of(self, candidate: int, stage: str) -> tuple[Row, ...]:
        query = select(ProblemRow).filter_by(candidate_id=candidate, stage=stage).order_by(ProblemRow.id)
        with self.database.read() as session:
            return tuple(row_of(row) for row in session.scalars(query))
