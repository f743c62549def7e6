"""Reads a trace with Perfetto's own published schema, and holds it against what a trace must be.

Written without a look at the Rust reader, so that a mistake about the schema is not made twice.
Usage: perfetto_check.py FILE; prints one line, or says what is wrong and exits with 1.
"""

import sys
from collections import defaultdict

from google.protobuf.unknown_fields import UnknownFieldSet
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as schema


def fail(why, about=""):
    sys.exit(f"{why}: {about}")


def known(message):
    """Fails for a field that the schema does not have, at any depth."""
    for unknown in UnknownFieldSet(message):
        fail("a field unknown to the schema", f"{unknown.field_number} of {message.DESCRIPTOR.name}")
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for each in value if field.is_repeated else [value]:
            known(each)


trace = schema.Trace()
trace.ParseFromString(open(sys.argv[1], "rb").read())
known(trace)

names = {0: "swapper"}
symbols = {}
for packet in trace.packet:
    for thread in packet.process_tree.threads:
        names[thread.tid] = thread.name
        if not thread.name or thread.tgid != 1:
            fail("a thread without name or process", thread)
    for symbol in packet.interned_data.kernel_symbols:
        symbols[symbol.iid] = symbol.str.decode()

running, last = {}, defaultdict(int)
executing = defaultdict(list)
switches = executed = lost = 0
for packet in trace.packet:
    if packet.HasField("ftrace_stats"):
        lost = sum(core.overrun for core in packet.ftrace_stats.cpu_stats)
    if not packet.HasField("ftrace_events"):
        continue
    bundle = packet.ftrace_events
    if bundle.lost_events:
        running.pop(bundle.cpu, None)
        executing.clear()
    for event in bundle.event:
        if event.timestamp < last[bundle.cpu]:
            fail("back in time", event)
        last[bundle.cpu] = event.timestamp
        if event.pid not in names:
            fail("a thread without a name", event)
        kind = event.WhichOneof("event")
        if kind is None:
            fail("an event of no kind", event)
        thread = (event.pid, bundle.cpu if event.pid == 0 else -1)
        if kind == "sched_switch":
            switch = event.sched_switch
            if running.get(bundle.cpu, switch.prev_pid) != switch.prev_pid:
                fail("a switch from a thread that did not run", event)
            running[bundle.cpu] = switch.next_pid
            for pid, comm in (
                (switch.prev_pid, switch.prev_comm),
                (switch.next_pid, switch.next_comm),
            ):
                if names.get(pid) != comm:
                    fail(f"thread {pid} is called {names.get(pid)}", event)
            if len(executing[thread]) > 1:
                fail("an item that never ended", event)
            switches += 1
        elif kind == "workqueue_execute_start":
            start = event.workqueue_execute_start
            if start.function not in symbols:
                fail("a function without a name", event)
            executing[thread].append(start.work)
        elif kind == "workqueue_execute_end":
            if executing[thread]:
                if executing[thread].pop() != event.workqueue_execute_end.work:
                    fail("the end of another item", event)
                executed += 1

depth, tracks, slices, values = defaultdict(int), {}, 0, 0
for packet in trace.packet:
    if packet.HasField("track_descriptor"):
        track = packet.track_descriptor
        if track.HasField("parent_uuid") and track.parent_uuid not in tracks:
            fail("a track without its parent", track)
        tracks[track.uuid] = track.name
    if packet.HasField("track_event"):
        event = packet.track_event
        if event.track_uuid not in tracks:
            fail("an event of no track", event)
        if event.type == schema.TrackEvent.TYPE_SLICE_BEGIN:
            depth[event.track_uuid] += 1
        elif event.type == schema.TrackEvent.TYPE_SLICE_END:
            depth[event.track_uuid] -= 1
            slices += 1
        elif event.type == schema.TrackEvent.TYPE_COUNTER:
            values += 1
        else:
            fail("an event of no type", event)
        if depth[event.track_uuid] not in (0, 1):
            fail("slices that overlap in one lane", event)

print(
    f"{switches} switches, {executed} items, {len(names)} threads, {slices} slices, "
    f"{values} values, {lost} lost"
)
