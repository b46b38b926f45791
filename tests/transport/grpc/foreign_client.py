"""A client of the prototype: grpcio and the prototype's proto, nothing of this project. Usage: foreign_client.py PORT PROTOS"""

import datetime
import sys

sys.path.insert(0, sys.argv[2])

import grpc  # noqa: E402

protos, services = grpc.protos_and_services("event.proto")


def main() -> None:
    with grpc.insecure_channel(f"127.0.0.1:{sys.argv[1]}") as channel:
        stub = services.EventServiceStub(channel)
        stamp = datetime.datetime(2025, 7, 15, 12, 34, 56, 123456).isoformat()
        for number, timestamp in enumerate(["", stamp, "2024-01-15T10:30:00Z"]):
            request = protos.EventRequest(
                user_id=f"user_{number}", event_type="purchase", amount=99.99, timestamp=timestamp
            )
            response = stub.SendEvent(request, timeout=10)
            assert response.status == "success" and response.event_id and response.message, response

        stream = stub.StreamEvents(protos.StreamRequest(limit=10), timeout=30)
        stored = [next(stream) for _ in range(3)]
        assert all(each.status == "stream" for each in stored), stored
        assert stored[0].message == "Event: purchase - 99.99", stored
        stub.SendEvent(protos.EventRequest(user_id="u", event_type="refund", amount=5), timeout=10)
        assert next(stream).message == "Event: refund - 5"
        stream.cancel()

        for bad in [
            protos.EventRequest(user_id="u", event_type="purchase", amount=1, timestamp="yesterday"),
            protos.EventRequest(user_id="u", event_type="purchase", amount=float("nan")),
            protos.EventRequest(),
        ]:
            try:
                stub.SendEvent(bad, timeout=10)
                raise AssertionError(f"{bad} was taken")
            except grpc.RpcError as error:
                assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
                details = dict(error.trailing_metadata())["grpc-status-details-bin"]
                assert b"google.rpc.BadRequest" in details, details


main()
