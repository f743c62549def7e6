"""Commands for gdb-multiarch that read a stopped Roundtable: rt-ps, rt-bt, rt-wq, rt-trace.

    cargo run -- --gdb          # in one terminal; it prints the command for the other one
    gdb-multiarch ELF -x tools/gdb/roundtable.py -ex 'target remote 127.0.0.1:1234'

Everything is found by the names of fields in the ELF's debug information; nothing here knows an offset.
Wrappers that the language or a lock puts around a value are passed through: `field` looks for a name
inside of them. The machine is stopped while one looks, so no lock is taken; a list that a core was just
changing may end early, and says so.
"""

import re
from pathlib import Path

import gdb

WORD = 8
# No list here is longer; a broken one ends.
MOST = 100_000
# Says what each kind of event is called; the ELF knows only Rust's names.
KINDS = Path(__file__).resolve().parents[2] / "kernel/trace/src/kind.rs"


def memory(address, size):
    return bytes(gdb.selected_inferior().read_memory(address, size))


def number(value, signed=False):
    """The whole of a small value as a number, whatever it is wrapped in."""
    return int.from_bytes(memory(int(value.address), value.type.sizeof), "little", signed=signed)


def pending(policy):
    """Entries on a pool's list: what came, less what was started."""
    return (number(field(policy, "listed")) - number(field(policy, "starts"))) & 0xFFFFFFFF


def names(kind):
    try:
        return [f for f in kind.strip_typedefs().fields() if f.name and not f.is_base_class]
    except TypeError:
        return []


def part(value, of):
    """A field of a value; `None` for one of a variant that an enum does not have."""
    try:
        return value[of]
    except (TypeError, gdb.error):
        return None


def field(value, *path):
    """The field that the names lead to; what stands between them is looked through, nearest first."""
    for name in path:
        level = [value]
        for _ in range(8):
            found = [part(v, f) for v in level for f in names(v.type) if f.name == name]
            found = [v for v in found if v is not None]
            if found:
                value = found[0]
                break
            level = [part(v, f) for v in level for f in names(v.type)]
            level = [v for v in level if v is not None]
        else:
            raise gdb.GdbError(f"the ELF has no field {name} in {value.type}; is it of this tree?")
    return value


def kernel():
    try:
        return gdb.parse_and_eval("qemu_virt::KERNEL")
    except gdb.error as e:
        raise gdb.GdbError(f"no kernel in this ELF ({e}); name the one that `cargo run -- --gdb` prints")


def table(fat):
    """The elements of a boxed slice or vector's part: pointer and length."""
    pointer, length = field(fat, "data_ptr"), int(field(fat, "length"))
    return [(pointer + n).dereference() for n in range(length)]


def cpus():
    return table(field(kernel(), "cpus", "data", "value"))


def text(string):
    """A `heapless::String`."""
    length = number(field(string, "len"))
    buffer = field(string, "buffer")
    return memory(int(buffer.address), min(length, buffer.type.sizeof)).decode("utf-8", "replace")


def vector(value, of):
    """The elements of a `Vec`, of type `of`."""
    length = number(field(value, "len"))
    at = number(field(value, "ptr", "pointer"))
    return [gdb.Value(at + n * of.sizeof).cast(of.pointer()).dereference() for n in range(length)]


def container(address, kind, member):
    """The object of a type whose member lies at an address."""
    offset = next(f.bitpos // 8 for f in kind.fields() if f.name == member)
    return gdb.Value(address - offset).cast(kind.pointer()).dereference()


def threads():
    """All threads, in the list's order."""
    node_type = gdb.lookup_type("kernel::thread::table::TableNode")
    thread_type = gdb.lookup_type("kernel::thread::Thread")
    at = number(field(kernel(), "threads", "inner", "list", "head"))
    for _ in range(MOST):
        if at == 0:
            return
        node = gdb.Value(at).cast(node_type.pointer()).dereference()
        yield container(at, thread_type, "table_node")
        at = number(field(node, "links", "next"))
    print("(the list does not end)")


def variants(kind):
    """The names of an enum's values by number."""
    return {f.enumval: f.name.rsplit("::", 1)[-1] for f in gdb.lookup_type(kind).fields()}


def variant(value):
    """The name of an enum's value."""
    return named(variants(value.type.name), number(value))


def named(table, n):
    return table.get(n, str(n))


def current():
    """Address of each core's running thread."""
    return {number(field(c, "current")): number(field(c, "header", "id")) for c in cpus()}


def symbol(address):
    line = gdb.find_pc_line(address)
    # Of functions that were inlined the one that was called.
    name = gdb.execute(f"info symbol {address}", to_string=True).split(" + ")[0].split(" in section")[0]
    # Mangled names end with a hash.
    name = re.sub("::h[0-9a-f]{16}$", "", name)
    place = f" at {line.symtab.filename}:{line.line}" if line.symtab else ""
    return f"{address:#018x} {name}{place}"


def tracepoints():
    """The names of kinds of events by number, as every other tool has them; Rust's without the source."""
    try:
        source = KINDS.read_text()
    except OSError:
        source = ""
    told = dict(re.findall(r'^ +(\w+) = \d+, \w+, "(\w+)";', source, re.MULTILINE))
    return {code: told.get(name, name) for code, name in variants("trace::kind::Kind").items()}


class Command(gdb.Command):
    """Base: the class's documentation is the command's help."""

    def __init__(self):
        super().__init__(self.name, gdb.COMMAND_DATA)


class Ps(Command):
    """rt-ps: all threads: number, core, state, nice, virtual runtime, CPU time, what it sleeps in, name."""

    name = "rt-ps"

    def invoke(self, argument, from_tty):
        states = variants("sync::handshake::sleep::State")
        sleeps = variants("kernel::waits::place::SleepsIn")
        running = current()
        homes = {int(c.address): number(field(c, "header", "id")) for c in cpus()}
        print(f"{'id':>5} {'core':>4} {'state':8} {'nice':>4} {'vruntime':>20} {'cpu ms':>10} {'sleeps in':10} name")
        for t in threads():
            core = homes.get(number(field(t, "home")), "?")
            state = named(states, number(field(t, "state")))
            if int(t.address) in running:
                state = "on core"
            nice = number(field(t, "nices")) & 0xFF
            nice = nice - 256 if nice > 127 else nice
            vruntime = number(field(t, "entity", "vruntime"))
            # It begins shortly before it wraps: as a signed number it can be read.
            vruntime -= (vruntime >> 63) << 64
            cpu_ms = number(field(t, "cpu_ns")) / 1e6
            what = named(sleeps, number(field(t, "sleeps_in"))) if state == "Sleeping" else "-"
            number_of = number(field(t, "id"))
            print(
                f"{number_of:5} {core:4} {state:8} {nice:4} {vruntime:20} {cpu_ms:10.3f} {what:10} {text(field(t, 'name'))}"
            )


class Backtrace(Command):
    """rt-bt ID: where thread ID sleeps. For one that has a core, select that core's GDB thread and use bt."""

    name = "rt-bt"

    def invoke(self, argument, from_tty):
        if not argument.strip().isdigit():
            raise gdb.GdbError("expected the number of a thread, as in rt-bt 7; rt-ps lists them")
        wanted = int(argument)
        thread = next((t for t in threads() if number(field(t, "id")) == wanted), None)
        if thread is None:
            raise gdb.GdbError(f"there is no thread {wanted}; rt-ps lists them")
        core = current().get(int(thread.address))
        if core is not None:
            raise gdb.GdbError(f"thread {wanted} has core {core}: use `thread {core + 1}` and `bt`")
        low = number(field(thread, "header", "stack_low"))
        high = number(field(thread, "header", "stack_high"))
        at = number(field(thread, "header", "context"))
        for n in range(64):
            if not low <= at < high:
                return
            words = memory(at, 2 * WORD)
            following, back = (int.from_bytes(w, "little") for w in (words[:WORD], words[WORD:]))
            if back == 0:
                return
            # The call stands before the address that it returns to.
            print(f"#{n:<2} {symbol(back - 4)}")
            if following <= at:
                return
            at = following


class Workqueues(Command):
    """rt-wq: pools that are in use, with workers and items, and all queues."""

    name = "rt-wq"

    def invoke(self, argument, from_tty):
        print(f"{'pool':>4} {'core':>5} {'kind':9} {'nice':>4} {'idle':>4} {'workers':>7} {'running':>7} {'pending':>7} {'started':>10}")
        for c in cpus():
            pools = field(c, "wq", "pools")
            low, high = pools.type.range()
            for n in range(low, high + 1):
                self.pool(pools[n])
        for pool in self.shared():
            self.pool(pool)
        queue_type = gdb.lookup_type("kernel::wq::queue::Queue")
        listed = field(kernel(), "wq", "registry", "listed", "queues")
        print(f"\n{'queue':32} {'class':8} {'max_active':>10}")
        # An `Arc` is a pointer to its counts, behind which stands what it holds.
        counted = gdb.lookup_type(f"alloc::sync::ArcInner<{queue_type.name}>").pointer()
        for entry in vector(listed, counted):
            queue = entry.dereference()["data"]
            name = text(field(queue, "attributes", "name"))
            kind = variant(field(queue, "attributes", "class"))
            most = "-" if kind == "Bh" else number(field(queue, "max_active"))
            print(f"{name:32} {kind:8} {most:>10}")

    def shared(self):
        """The pools in use that belong to no core: unbound ones, and queues' own threads."""
        system = field(kernel(), "wq")
        chunks = field(system, "dedicated", "chunks")
        low, high = chunks.type.range()
        tables = [field(system, "unbound", "pools")] + [chunks[n] for n in range(low, high + 1)]
        for once in tables:
            # Nothing was put there while its state is 0.
            if number(field(once, "status")) != 0:
                for pool in table(field(once, "data", "value")):
                    if number(field(pool, "used")):
                        yield pool

    def pool(self, pool):
        policy = field(pool, "inner", "policy")
        core = number(field(pool, "cpu"))
        nice = number(field(pool, "nice"), signed=True)
        if number(field(pool, "highpri")):
            nice = -20
        print(
            f"{number(field(pool, 'place')):4} {'any' if core == 0xFFFFFFFF else core:>5} "
            f"{variant(field(pool, 'kind')):9} {nice:4} {number(field(policy, 'nr_idle')):4} "
            f"{number(field(policy, 'nr_workers')):7} {number(field(policy, 'stand', 'running')):7} "
            f"{pending(policy):7} {number(field(policy, 'starts')):10}"
        )


class Trace(Command):
    """rt-trace [N] [CORE]: the last N events (32 unless told) of each core, or of one."""

    name = "rt-trace"

    def invoke(self, argument, from_tty):
        words = argument.split()
        if len(words) > 2 or not all(w.isdigit() for w in words):
            raise gdb.GdbError("expected rt-trace [N] [CORE], two numbers")
        wanted = int(words[0]) if words else 32
        cores = cpus()
        if len(words) == 2 and int(words[1]) >= len(cores):
            raise gdb.GdbError(f"there are cores 0 to {len(cores) - 1}")
        kinds = tracepoints()
        for n, c in enumerate(cores):
            if len(words) == 2 and n != int(words[1]):
                continue
            self.core(n, field(c, "trace"), wanted, kinds)

    def core(self, n, ring, wanted, kinds):
        count = number(field(ring, "count"))
        slots = ring["slots"].dereference()
        low, high = slots.type.range()
        size = high - low + 1
        event = slots.type.target().sizeof
        base = int(slots.address)
        print(f"core {n}: {count} events so far; ticks before the last one")
        events = []
        # The writer may be within the oldest one.
        for index in range(max(0, count - min(wanted, size - 2)), count):
            raw = memory(base + (index % size) * event, event)
            events.append([int.from_bytes(raw[i : i + WORD], "little") for i in range(0, 4 * WORD, WORD)])
        for stamp, meta, a, b in events:
            kind, flags, small, arg = meta & 0xFF, meta >> 8 & 0xFF, meta >> 16 & 0xFFFF, meta >> 32
            print(
                f"{events[-1][0] - stamp:>12} {named(kinds, kind):28} arg={arg} small={small} flags={flags:#x} a={a:#x} b={b:#x}"
            )


for command in (Ps, Backtrace, Workqueues, Trace):
    command()
