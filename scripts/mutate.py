"""The guards are guarded: each is taken away in a copy of the project, and the tests that hold it must go red."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("lakehouse", "tests", "jobs", "conf", "contracts", "pyproject.toml")
WRITE = "lakehouse/write"


@dataclass(frozen=True)
class Mutant:
    """A guard, and the project without it: in ``file`` the text ``was``, which is there once, becomes ``now``."""

    guard: str
    file: str
    was: str
    now: str
    tests: tuple[str, ...]


def _traps(*names: str) -> tuple[str, ...]:
    return tuple(f"tests/write/test_traps.py::test_{name}" for name in names)


def _writers(*names: str) -> tuple[str, ...]:
    return tuple(f"tests/write/test_writers.py::test_{name}" for name in names)


def _history(name: str) -> tuple[str, ...]:
    return (f"tests/write/test_histories.py::test_the_table_is_the_fold_of_all_that_came[{name}]",)


def _runs(*names: str) -> tuple[str, ...]:
    return tuple(f"tests/runtime/test_runner.py::test_{name}" for name in names)


def _breaker(name: str) -> tuple[str, ...]:
    return (f"tests/runtime/test_breaker.py::test_{name}",)


def _attempts(name: str) -> tuple[str, ...]:
    return (f"tests/runtime/test_attempts.py::test_{name}",)


def _requeue(name: str) -> tuple[str, ...]:
    return (f"tests/streams/test_requeue.py::test_{name}",)


def _recovery(name: str) -> tuple[str, ...]:
    return (f"tests/recovery/test_{name}",)


MUTANTS = (
    Mutant(
        "transaction identity: a batch is committed once",
        "lakehouse/lake/batch.py",
        "if once:",
        "if once and not once:",
        (
            "tests/write/test_append.py::test_a_batch_is_added_once_however_often_it_is_written",
            *_traps("a_write_that_delta_skips_without_a_word_is_a_replay_or_an_error"),
        ),
    ),
    Mutant(
        "transaction identity: it is the checkpoint's own",
        "lakehouse/lake/batch.py",
        'f"lakehouse/{self.stream}/{step}"',
        'f"lakehouse/{self.job}/{step}"',
        _traps("a_new_checkpoint_counts_from_0_and_is_not_taken_for_the_old_one"),
    ),
    Mutant(
        "replay: a batch that was committed is not made again",
        "lakehouse/runtime/batch.py",
        "earlier(spark, target, identity, among=FAR_BACK) if identity.again else None",
        "None",
        _runs("a_batch_that_was_committed_before_the_crash_is_not_run_twice"),
    ),
    Mutant(
        "replay: a batch that the log tells of is looked for, whatever the checkpoint says",
        "lakehouse/runtime/stream.py",
        "past = identity.batch <= self.newest",
        "past = False",
        _runs("batches_that_an_older_copy_of_a_checkpoint_brings_again_are_replays"),
    ),
    Mutant(
        "alone: the first batch of a run asks Delta for its transactions",
        "lakehouse/runtime/stream.py",
        "self.alone and self.asked and not again",
        "self.alone and not again",
        _runs("only_the_first_batch_of_a_run_asks_delta_for_its_transactions"),
    ),
    Mutant(
        "alone: a runner is refused while the Java of another goes on",
        "lakehouse/runtime/lock.py",
        "if not is_free:",
        "if is_free is None:",
        _runs("a_runner_waits_for_the_java_of_another_to_end_and_is_refused_while_it_goes_on"),
    ),
    Mutant(
        "null-safe key",
        f"{WRITE}/events.py",
        "left.eqNullSafe(right) if nullable else left == right",
        "left == right",
        _traps("a_key_with_a_NULL_in_it_is_one_key_however_often_it_comes"),
    ),
    Mutant(
        "null-safe comparison of values",
        "lakehouse/lake/frame.py",
        "hashed += [F.when(value.isNotNull(), F.lit(name.lower())), value]",
        "hashed += [value]",
        (
            "tests/lake/test_frame.py::test_a_hash_tells_rows_apart_and_not_how_they_are_written",
            *_traps("a_value_that_moves_to_the_next_column_is_a_change"),
        ),
    ),
    Mutant(
        "keys that may not be NULL are put aside",
        "lakehouse/check/contract.py",
        "F.when(is_there, F.lit(reason))",
        "F.when(is_there & F.lit(False), F.lit(reason))",
        (*_runs("a_null_key_made_by_the_transform_is_rejected_and_kept"),),
    ),
    Mutant(
        "dedupe: one event of a key counts in scd1",
        f"{WRITE}/whole.py",
        "RANK: F.row_number().over(newest_first)",
        "RANK: F.lit(1)",
        _traps("two_changes_of_a_new_key_in_one_batch_make_one_row_and_two_versions"),
    ),
    Mutant(
        "dedupe: one event of a key and time counts in scd2",
        f"{WRITE}/timeline.py",
        "RANK: F.row_number().over(best)",
        "RANK: F.lit(1)",
        _traps("a_correction_with_the_same_time_has_one_winner_that_no_replay_changes"),
    ),
    Mutant(
        "dedupe: a record is appended once",
        f"{WRITE}/append.py",
        'return once.join(there, _same(pairs, nullable), "left_anti")',
        "return once",
        _history("append, told by source"),
    ),
    Mutant(
        "tie-break by place",
        f"{WRITE}/events.py",
        "if placed and SOURCE in frame.columns:",
        "if False:",
        _history("scd2"),
    ),
    Mutant(
        "tie-break by hash",
        f"{WRITE}/events.py",
        '(F.lit(None).cast("bigint") if payload is None else row_hash(frame, payload))',
        'F.lit(None).cast("bigint")',
        ("tests/write/test_scd1.py::test_equal_sequences_are_told_apart_alike_in_any_order",),
    ),
    Mutant(
        "an older event does not take the place of a newer row",
        f"{WRITE}/whole.py",
        "event > newest,",
        "F.lit(True),",
        _history("scd1"),
    ),
    Mutant(
        "tombstone: a deletion is remembered in scd1",
        f"{WRITE}/whole.py",
        "REMEMBER: F.col(DELETED) & (F.col(RANK) == 1) & newest & heeded,",
        "REMEMBER: F.lit(False),",
        _traps("a_late_update_does_not_bring_back_what_was_deleted"),
    ),
    Mutant(
        "tombstone: a deletion of what is not there yet is remembered in scd1",
        f"{WRITE}/whole.py",
        'heeded = F.col(FATE).isin("deleted", "unchanged")',
        'heeded = F.col(FATE).isin("deleted")',
        _traps("a_delete_that_comes_before_its_insert_is_remembered"),
    ),
    Mutant(
        "tombstone: what was forgotten is told",
        f"{WRITE}/whole.py",
        'fate.when(too_late & ~deleted, "rejected")',
        'fate.when(too_late & F.lit(False), "rejected")',
        _traps("what_is_older_than_what_was_forgotten_is_put_aside"),
    ),
    Mutant(
        "truncate: it reaches rows that have no event in its batch",
        f"{WRITE}/whole.py",
        "parts += self._truncated(decided, live)",
        "parts += [self._last_truncate()]",
        _history("scd1"),
    ),
    Mutant(
        "late-event split: events that show in no version are remembered",
        f"{WRITE}/timeline.py",
        "REMEMBER: hidden | covered,",
        "REMEMBER: F.lit(False),",
        _traps("a_late_event_splits_a_run_where_an_event_had_changed_nothing"),
    ),
    Mutant(
        "late-event split: a version that a late event covers is remembered",
        f"{WRITE}/timeline.py",
        "REMEMBER: hidden | covered,",
        "REMEMBER: hidden,",
        _history("scd2"),
    ),
    Mutant(
        "gap: the end of a version is a deletion",
        f"{WRITE}/timeline.py",
        "held.where(~open_ended)",
        "held.where(F.lit(False))",
        _history("scd2"),
    ),
    Mutant(
        "kill: what an earlier attempt remembered is not taken for an event of the past",
        f"{WRITE}/auxiliary.py",
        "own = (F.col",
        "own = F.lit(False) & (F.col",
        _writers("a_batch_that_was_killed_before_its_commit_counts_like_the_first_time"),
    ),
    Mutant(
        "kill: a deletion that was remembered and not committed is made",
        f"{WRITE}/whole.py",
        'F.when(live < event, "deleted").otherwise("unchanged")',
        'F.lit("unchanged")',
        _traps("a_deletion_that_was_killed_before_its_commit_is_made_under_a_new_checkpoint"),
    ),
    Mutant(
        "kill: a snapshot that was remembered and not committed applies again",
        f"{WRITE}/snapshot.py",
        '(F.col("__last") >= F.col("__done"))',
        '(F.col("__last") > F.col("__done"))',
        _traps("a_snapshot_that_was_killed_before_its_commit_is_applied_under_a_new_checkpoint"),
    ),
    Mutant(
        "partial: events that set other columns are two events",
        f"{WRITE}/partial.py",
        "_TELLING: ClassVar[tuple[str, ...]] = (SETS,)",
        "_TELLING: ClassVar[tuple[str, ...]] = ()",
        _traps("two_updates_of_one_time_that_set_other_columns_both_count"),
    ),
    Mutant(
        "partial: each column has an order of its own",
        f"{WRITE}/partial.py",
        "F.max_by(col(name), F.col(order))",
        "F.max_by(col(name), F.col(EVENT))",
        _history("scd1, events name what they set"),
    ),
    Mutant(
        "delete guard",
        f"{WRITE}/snapshot.py",
        "if gone > most * there:",
        "if False:",
        _traps("an_empty_or_shrunken_snapshot_does_not_close_all_history"),
    ),
    Mutant(
        "delete guard: rows that could not be read are not taken for deleted ones",
        f"{WRITE}/snapshot.py",
        'return identity.rows.get("quarantined", 0) + identity.rows.get("rejected", 0)',
        "return 0",
        _traps("a_key_whose_row_could_not_be_read_is_not_taken_for_deleted"),
    ),
    Mutant(
        "pruning: no key is left out",
        f"{WRITE}/events.py",
        '{column} <= {bounds[1]}"',
        '{column} < {bounds[1]}"',
        _writers("a_table_of_many_files_is_looked_at_where_the_keys_are_and_nowhere_else"),
    ),
    Mutant(
        "read-back: a write that Delta skipped is no write",
        f"{WRITE}/commit.py",
        "if found is None:",
        "if found is None and plan.planned.is_empty:",
        _writers("a_write_that_delta_skips_is_an_error_unless_it_is_a_replay"),
    ),
    Mutant(
        "read-back: the commit did what was planned",
        f"{WRITE}/commit.py",
        "elif (made.rows_added, made.rows_removed) != (plan.planned.rows_added, plan.planned.rows_removed):",
        "elif False:",
        _writers("a_commit_that_did_something_else_than_was_planned_is_an_error"),
    ),
    Mutant(
        "repair: what another writer made newer is put back",
        f"{WRITE}/commit.py",
        "if foreign and plan.mend:",
        "if foreign and not plan.mend:",
        _writers("what_another_writer_made_newer_meanwhile_is_put_back"),
    ),
    Mutant(
        "lease: one writer after the other",
        "lakehouse/runtime/lock.py",
        "place = local(target.path)",
        "place = None",
        _writers("the_lease_of_a_table_is_waited_for_and_not_for_ever"),
    ),
    Mutant(
        "MERGE leaves no transaction in the session",
        f"{WRITE}/commit.py",
        "            spark.conf.unset(name)",
        "            pass",
        _writers("a_merge_leaves_no_transaction_behind_in_the_session"),
    ),
    Mutant(
        "another type is no NULL",
        f"{WRITE}/evolve.py",
        'raise TypeChangeError(f"{target.name}: {told}"',
        'TypeChangeError(f"{target.name}: {told}"',
        _traps("a_type_that_changes_is_an_error_and_no_NULL"),
    ),
    Mutant(
        "replace_where: a row outside of it is an error",
        f"{WRITE}/overwrite.py",
        "if outside := batch.where(~inside).count():",
        "if outside := 0:",
        ("tests/write/test_overwrite.py::test_rows_outside_of_replace_where_are_an_error_and_the_others_are_replaced",),
    ),
    Mutant(
        "forgetting leaves the last of what was forgotten",
        "lakehouse/maintain/forget.py",
        '"_kind": F.lit(FORGOTTEN),',
        '"_kind": F.lit("gone"),',
        ("tests/maintain/test_forget.py::test_old_events_go_and_the_greatest_of_all_that_ever_went_stays",),
    ),
    Mutant(
        "vacuum keeps what a reader has not read",
        "lakehouse/maintain/vacuum.py",
        "wishes += [(now - need.since,",
        "[(now - need.since,",
        ("tests/maintain/test_vacuum.py::test_a_reader_keeps_what_it_has_not_read",),
    ),
    Mutant(
        "recovery: a batch that was begun and not ended comes again",
        "lakehouse/recovery/checkpoint.py",
        "if not past.begun or number < past.begun.number:",
        "if number >= 0:",
        _recovery("recover.py::test_a_batch_that_put_rows_aside_and_reached_no_further_comes_again_as_it_was"),
    ),
    Mutant(
        "recovery: what was undone comes again as new batches",
        "lakehouse/recovery/undo.py",
        "stream=str(uuid.uuid4()) if past else",
        "stream=past.stream if past else",
        _recovery("undo.py::test_what_comes_after_an_undone_run_makes_the_lake_that_would_be_there_without_it[append]"),
    ),
    Mutant(
        "recovery: a stream passes over what was undone",
        "lakehouse/read/tables.py",
        "if last < at or _read_up_to(offset) >= first:",
        "if last < at or first >= 0:",
        _recovery("undo.py::test_a_run_that_others_build_on_is_undone_with_them_or_not_at_all"),
    ),
    Mutant(
        "recovery: what a failed rebuild did is no history",
        "lakehouse/recovery/history.py",
        'if not one.note.get("beside") or one.note["stream"] in swapped',
        "if one.note",
        _recovery("recover.py::test_a_rebuild_that_failed_is_no_history_of_the_table"),
    ),
    Mutant(
        "undo: what others build on is refused",
        "lakehouse/recovery/undo.py",
        "if others and not later:",
        "if others and later:",
        _recovery("undo.py::test_a_run_that_others_build_on_is_undone_with_them_or_not_at_all"),
    ),
    Mutant(
        "undo: rows that were changed by hand are in its way",
        "lakehouse/recovery/undo.py",
        'elif one.note.get("step") != MAINTAIN:',
        "elif False:",
        _recovery("undo.py::test_what_nobodys_run_changed_or_a_vacuum_took_is_not_undone_and_the_job_goes_on"),
    ),
    Mutant(
        "undo: what was decided is done by the next run",
        "lakehouse/runtime/runner.py",
        "    setback.finish(spark, work)\n    if not anew",
        "    if not anew",
        _recovery("undo.py::test_an_undo_that_was_killed_anywhere_is_finished_by_the_next_run_and_recover_knows_of_it"),
    ),
    Mutant(
        "files: one that grew after it was announced is no change later",
        "lakehouse/read/files.py",
        "checkpoint.has_grown(spark, grown)",
        "dict(grown)",
        _runs("a_file_that_grew_after_it_was_announced_is_read_as_it_is_then_and_is_no_change_later"),
    ),
    Mutant(
        "breaker: failures in a row hold the job",
        "lakehouse/runtime/breaker.py",
        "if limits.max_failures is None or failures < limits.max_failures:",
        "if limits.max_failures is None or failures:",
        _breaker("the_last_of_so_many_failures_in_a_row_holds_the_job"),
    ),
    Mutant(
        "breaker: what may pass by itself is not counted",
        "lakehouse/runtime/breaker.py",
        "if before.hold or not _counts(type(error)):",
        "if before.hold:",
        _breaker("what_may_pass_and_what_is_not_the_jobs_fault_is_not_counted"),
    ),
    Mutant(
        "breaker: a job that is held does not run",
        "lakehouse/runtime/runner.py",
        "refuse(job.job, before)",
        "noted(job.job, before)",
        _breaker("a_job_that_fails_again_and_again_is_held_until_it_is_resumed"),
    ),
    Mutant(
        "breaker: a batch that is mostly put aside is not written",
        "lakehouse/runtime/breaker.py",
        "if most is not None and aside > most * of:",
        "if most is not None and aside > of:",
        _breaker("a_batch_that_is_put_aside_for_the_most_part_is_held_with_nothing_of_it_written"),
    ),
    Mutant(
        "breaker: a batch that changes too much of the table is not written",
        "lakehouse/runtime/breaker.py",
        "if there and changed > most * there:",
        "if there and changed < 0:",
        _breaker("a_batch_that_changes_too_much_of_the_table_is_held_also_where_the_ledger_was_not_told"),
    ),
    Mutant(
        "writers: S3 without put-if-absent is refused",
        "lakehouse/lake/place.py",
        "if spark.conf.get(setting, None) != _PUT_IF_ABSENT:",
        "if False:",
        _breaker("a_lake_on_s3_is_refused_where_two_writers_may_overwrite_each_other"),
    ),
    Mutant(
        "retry: what will not pass by itself is not tried again",
        "lakehouse/runtime/attempts.py",
        "error.retryable and not isinstance(error, LockedError)",
        "True",
        _attempts("what_will_not_pass_by_itself_is_raised_at_once"),
    ),
    Mutant(
        "retry: there is a last attempt",
        "lakehouse/runtime/attempts.py",
        "return min(retry.max_attempts, 2) if isinstance(error, _ONCE) else retry.max_attempts",
        "return retry.max_attempts",
        _attempts("a_changed_table_and_a_second_runner_are_met_with_one_more_attempt"),
    ),
    Mutant(
        "retry: a batch that came through begins the count anew",
        "lakehouse/runtime/attempts.py",
        "attempt.retry_state.attempt_number = 1",
        "pass",
        _attempts("a_batch_that_came_through_begins_the_count_anew"),
    ),
    Mutant(
        "requeue: what was interrupted and reached the target is not done again",
        "lakehouse/runtime/requeue.py",
        "if made is None and not is_told:",
        "if True:",
        _requeue("a_requeue_that_is_killed_anywhere_is_settled_by_the_next_one"),
    ),
    Mutant(
        "requeue: rows of a batch that is not ended are left to the job",
        "lakehouse/runtime/requeue.py",
        "if pending is not None:",
        "if False:",
        _requeue("rows_of_a_batch_that_is_not_ended_are_left_to_the_job"),
    ),
)


def mutated(mutant: Mutant, root: Path) -> str:
    """The text of the mutant's file without its guard.

    Raises:
        ValueError: the guard is not there, or more than once.
    """
    text = (root / mutant.file).read_text(encoding="utf-8")
    if text.count(mutant.was) != 1:
        message = f"{mutant.file} has {mutant.was!r} {text.count(mutant.was)} times, and a guard is there once"
        raise ValueError(message)
    return text.replace(mutant.was, mutant.now)


def is_seen(mutant: Mutant) -> tuple[bool, str]:
    """Whether the tests go red without the guard, and the last line that they said."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for part in PARTS:
            source = ROOT / part
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, copy / part)
        (copy / mutant.file).write_text(mutated(mutant, copy), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", *mutant.tests],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy)},
            capture_output=True,
            text=True,
            check=False,
        )
    lines = (done.stdout.strip() or done.stderr.strip()).splitlines()
    # 1: some test failed; anything else, no test among it, shows nothing
    return done.returncode == 1, lines[-1] if lines else f"pytest ended with {done.returncode}"


@click.command()
@click.argument("wanted", nargs=-1)
@click.option("--list", "listed", is_flag=True, help="Say which guards there are.")
def main(wanted: tuple[str, ...], *, listed: bool) -> None:
    """Take away each guard whose name holds one of these words, or each of all, and run the tests that hold it."""
    chosen = [one for one in MUTANTS if not wanted or any(word in one.guard for word in wanted)]
    if not chosen:
        raise click.UsageError("no such guard; --list says which there are")
    for mutant in chosen:
        mutated(mutant, ROOT)
    if listed:
        print("\n".join(one.guard for one in chosen))
        return
    alive = []
    for mutant in chosen:
        began = time.monotonic()
        seen, told = is_seen(mutant)
        alive += [] if seen else [mutant.guard]
        print(
            f"{'seen' if seen else 'NOT SEEN'}  {mutant.guard} ({time.monotonic() - began:.0f} s): {told}", flush=True
        )
    print(f"{len(chosen) - len(alive)} of {len(chosen)} guards are seen to be missed")
    sys.exit(bool(alive))


if __name__ == "__main__":
    main()
