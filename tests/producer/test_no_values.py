"""The producer's console shows no value of a person's record, whatever fails."""

import pytest
from botocore.exceptions import ClientError, ParamValidationError
from typer.testing import CliRunner

from producer import __main__ as producer
from producer import sending
from tests.plugins.test_no_values import FILES, GOOD, MARKS, marks_in


class Kinesis:
    """A client whose PutRecords fails with an error that quotes the records."""

    def __init__(self, error):
        self.error = error

    def put_records(self, StreamName, Records):  # noqa: N803
        raise self.error(str(Records))


def validation(said):
    return ClientError({"Error": {"Code": "ValidationException", "Message": f"Value {said}"}}, "PutRecords")


def parameters(said):
    return ParamValidationError(report=f"Invalid type for parameter Records[0].Data, value: {said}")


def replay(monkeypatch, path, client, *flags):
    monkeypatch.setattr(sending, "_client", lambda *_: client)
    done = CliRunner().invoke(producer.app, ["replay", str(path), "--feed", "purchases", *flags])
    return done, done.output + done.stderr + str(done.exc_info)


@pytest.mark.parametrize("case", [name for name, (_, _, flags, _) in FILES.items() if not flags])
def test_a_file_that_cannot_be_read(monkeypatch, tmp_path, case):
    path = tmp_path / FILES[case][0]
    path.write_bytes(FILES[case][1])
    done, said = replay(monkeypatch, path, None)
    assert (done.exit_code, "producer: " in said, path.name in said.replace("\n", "")) == (1, True, True)
    assert marks_in(said) == []


@pytest.mark.parametrize(
    ("error", "says"),
    [(validation, "AWS answered ValidationException to PutRecords"), (parameters, "ParamValidationError")],
)
def test_a_stream_that_quotes_what_it_refuses(monkeypatch, tmp_path, error, says):
    path = tmp_path / "people.csv"
    path.write_text(GOOD)
    client = Kinesis(error)
    with pytest.raises(Exception, match=MARKS[0]):
        client.put_records("s", [GOOD])
    done, said = replay(monkeypatch, path, client)
    assert done.exit_code == 1
    assert says in said
    assert "people.csv: 2 rows" in said.replace("\n", "")
    assert marks_in(said) == []
