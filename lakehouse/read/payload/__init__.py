"""What a message holds, decoded: a module for each format.

Each has ``decoded(messages, ...)``, which adds the message's columns, ``__code`` and ``__message`` (why it cannot be
decoded; NULL where it can) and, where the format knows messages that are no rows, ``__skip``. A frame of messages has
``__value`` (binary) and ``__text`` (the value as text, NULL where it is no UTF-8), beside ``__key``, ``__topic`` and
what else Kafka says of a record. Nothing is evaluated, but by the formats that ask a batch for its schemas.
"""
