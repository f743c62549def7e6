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

def in_softirq(events):
    """Whether each of a core's events, none lost between them, is within a softirq."""
    kinds = [event.WhichOneof("event") for event in events]
    # What was going on when they begin is told by what comes first.
    inside = next((k for k in kinds if k in ("softirq_entry", "softirq_exit")), None) == "softirq_exit"
    for kind in kinds:
        inside = inside or kind == "softirq_entry"
        yield inside
        inside = inside and kind != "softirq_exit"


running, last = {}, defaultdict(int)
stretches, gaps = defaultdict(lambda: [[]]), []
switches = executed = lost = 0
for packet in trace.packet:
    if packet.HasField("ftrace_stats"):
        lost = sum(core.overrun for core in packet.ftrace_stats.cpu_stats)
    if not packet.HasField("ftrace_events"):
        continue
    bundle = packet.ftrace_events
    if bundle.lost_events:
        running.pop(bundle.cpu, None)
        after = bundle.event[0].timestamp if bundle.event else sys.maxsize
        gaps.append((last[bundle.cpu], after))
        stretches[bundle.cpu].append([])
    for event in bundle.event:
        if event.timestamp < last[bundle.cpu]:
            fail("back in time", event)
        last[bundle.cpu] = event.timestamp
        if event.pid not in names:
            fail("a thread without a name", event)
        kind = event.WhichOneof("event")
        if kind is None:
            fail("an event of no kind", event)
        stretches[bundle.cpu][-1].append(event)
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
            switches += 1
        elif kind == "workqueue_execute_start":
            if event.workqueue_execute_start.function not in symbols:
                fail("a function without a name", event)

# A worker goes from core to core, so its items are looked at in the order of time. Where one executes is
# its thread, or a core's softirqs; in `opened` only those places of which one knows what they do.
opened = {}
timeline = []
for cpu, parts in stretches.items():
    for events in parts:
        timeline += [(e.timestamp, cpu, e, soft) for e, soft in zip(events, in_softirq(events))]
for at, cpu, event, soft in sorted(timeline, key=lambda entry: entry[0]):
    # What happened there may be what was lost.
    if any(before <= at <= after for before, after in gaps):
        opened.clear()
    kind = event.WhichOneof("event")
    place = ("softirq", cpu) if soft else ("thread", event.pid, cpu if event.pid == 0 else -1)
    if kind == "workqueue_execute_start":
        if opened.get(place) is not None:
            fail("a start while another item is executed", event)
        opened[place] = event.workqueue_execute_start.work
    elif kind == "workqueue_execute_end":
        # It may have begun before the recording did.
        if place in opened:
            if opened[place] is None:
                fail("an end without a start", event)
            if opened[place] != event.workqueue_execute_end.work:
                fail("the end of another item", event)
            executed += 1
        opened[place] = None
    elif kind == "softirq_exit":
        if opened.get(place) is not None:
            fail("a softirq is over within an item", event)
    elif kind == "sched_switch" and event.sched_switch.prev_state > 1:
        if opened.get(("thread", event.sched_switch.prev_pid, -1)) is not None:
            fail("a thread ends within an item", event)

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

for what, count in (
    ("switches", switches),
    ("executed items", executed),
    ("slices", slices),
    ("values", values),
):
    if count == 0:
        fail("what is always there is not", what)

print(
    f"{switches} switches, {executed} items, {len(names)} threads, {slices} slices, "
    f"{values} values, {lost} lost"
)
