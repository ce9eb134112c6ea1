"""A checkpoint of topics that was lost: it is rebuilt from the offsets in the commits."""

from __future__ import annotations

import json
import shutil
import time

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from lakehouse.errors import RecoveryError
from lakehouse.recovery.recover import recover
from lakehouse.runtime.workplace import prepare

pytestmark = pytest.mark.crash

JOB = """
sources:
  events:
    kind: kafka
    bootstrap_servers: '{servers}'
    topics: {topic}
    value: json
    starting_offsets: {start}
    contract: {{columns: {{id: bigint not null}}}}
write: {{table: bronze.events, mode: append}}
"""


def made_again(admin: AdminClient, name: str) -> None:
    """Make a topic of a name whose last owner may still be going."""
    for _ in range(50):
        try:
            admin.create_topics([NewTopic(name, num_partitions=2)])[name].result(30)
        except KafkaException:
            time.sleep(0.1)
        else:
            return


def test_records_are_read_once_after_a_checkpoint_was_lost_and_a_topic_made_again_is_refused(
    workshop, kafka, topic, produce
):
    name = topic(partitions=2)
    workshop.job("events", JOB.format(servers=kafka.servers, topic=name, start="earliest"))
    sent = iter(range(100))

    def send(count):
        produce(name, [json.dumps({"id": next(sent)}) for _ in range(count)])

    work = prepare("events", lake=str(workshop.folder), root=workshop.project)
    checkpoint = workshop.folder / "_checkpoints" / "events"
    for _ in range(2):
        send(3)
        assert workshop.run("events").rows.read == 3
        ids = json.loads((checkpoint / "topics.json").read_text())
        shutil.rmtree(checkpoint)
        send(2)
        assert recover(work, spark=workshop.spark).status == "done"
        assert json.loads((checkpoint / "topics.json").read_text()) == ids
        assert workshop.run("events").rows.read == 2
    assert workshop.rows("bronze.events", "id") == sorted([(number,) for number in range(10)], key=repr)
    shutil.rmtree(checkpoint)
    admin = AdminClient({"bootstrap.servers": kafka.servers})
    admin.delete_topics([name])[name].result(30)
    made_again(admin, name)
    with pytest.raises(RecoveryError, match="ends at 0, and this job has read it"):
        recover(work, spark=workshop.spark)
