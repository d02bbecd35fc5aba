"""
Green threads in gdb.  Load it with

    (gdb) source /usr/local/share/libgreen/libgreen-gdb.py
    (gdb) handle SIGALRM nostop noprint pass        ticks; gdb stops at each otherwise (or the signal of GREEN_SIGNAL)

and stop the program; then

    green threads           every thread: id, state, name, and the function that it stands in
    green bt ID [OPTION...] backtrace of one, running, parked or preempted; ID is a number or an expression (a green_t
                            variable), the options are those of `bt`

`thread apply all bt` shows what the kernel threads are doing; `green bt` shows the others, too.

How.  The thread table is read from the library's own variables.  A thread runs where a kernel thread has its TLS
base.  Any other stands at a switch, its context complete: for as long as gdb walks its stack, the selected kernel
thread gets the context's program counter, stack and frame pointers; what other registers hold, the function that
switched has saved on the stack.  A preempted thread stands in the tick's handler, and gdb knows how to go on below a
handler.

Limits.  Live processes: gdb changes no registers of a core file, where only running threads have a backtrace.
The library needs its debug information (-g, not stripped).  Locals are shown by `green bt ID -full` only, as the
frames are gone when the command ends.  While a kernel thread is within the few instructions between one
stack and the next, the thread that it leaves is shown with the stack of the other.
"""
import contextlib
import functools

import gdb

# The register that is the TLS base, by the beginning of gdb's name for the architecture.
TLS_BASE = {"i386:x86-64": "fs_base", "aarch64": "tpidr", "riscv": "tp"}
FRAME_POINTER = {"i386:x86-64": "rbp", "aarch64": "x29", "riscv": "fp"}
CHUNK = 256  # table.h
LIFE_FREE = 0xFFFFFFFC  # thread.h


def variable(name):
    return gdb.parse_and_eval("'src/core/table.c'::" + name)


@functools.lru_cache(maxsize=None)
def address(symbol):
    return int(gdb.parse_and_eval("(unsigned long)&" + symbol))


def threads():
    """The structures of all threads that are, by their ids."""
    chunks = variable("table_chunks")
    found = {}
    for index in range(int(variable("used"))):
        thread = chunks[index // CHUNK][index % CHUNK]
        life = int(thread["life"])
        if life & 0xFFFFFFFF != LIFE_FREE:
            found[life >> 32 << 32 | index + 1] = thread
    return found


def tls_base(thread):
    return int(thread["context"]["tls"]) or int(thread["worker"]["kernel_tls"])  # of a kernel thread of the program's


def of_machine(registers):
    machine = gdb.selected_inferior().architecture().name()
    return next(registers[name] for name in registers if machine.startswith(name))


def registers():
    return "pc", "sp", of_machine(FRAME_POINTER)


def set_registers(values):
    for register, value in zip(registers(), values):
        gdb.execute("set var $%s = %d" % (register, value))


@contextlib.contextmanager
def selection_kept():
    if not gdb.selected_thread():
        raise gdb.GdbError("The program is not being run.")
    kernel_thread, frame = gdb.selected_thread(), gdb.selected_frame()
    try:
        yield
    finally:
        kernel_thread.switch()
        if frame.is_valid():
            frame.select()


def carriers():
    """The kernel threads by the TLS bases they have."""
    register = of_machine(TLS_BASE)
    found = {}
    with selection_kept():
        for kernel_thread in gdb.selected_inferior().threads():
            kernel_thread.switch()
            found[int(gdb.newest_frame().read_register(register)) & (1 << 64) - 1] = kernel_thread
    return found


def carrier_of(thread, found):
    """None for a thread that has not run: the kernel thread that gave it its TLS block may be on its way out still."""
    if state(thread) == "READY" and int(thread["context"]["pc"]) == address("arch_start"):
        return None
    return found.get(tls_base(thread))


@contextlib.contextmanager
def looking_at(thread, carrier):
    """Within, gdb's frames are the thread's; afterwards everything is as it was."""
    context = [int(thread["context"][field]) for field in ("pc", "sp", "fp")]
    with selection_kept():
        if carrier:
            carrier.switch()
            yield
        elif str(state(thread)) in ("EXITED", "LOST", "FREE") or not all(context[:2]):
            raise gdb.GdbError("This thread has no stack.")
        else:
            frame = gdb.newest_frame()
            frame.select()  # registers are those of the selected frame
            saved = [int(frame.read_register(register)) for register in registers()]
            try:
                set_registers(context)
                yield
            finally:
                with contextlib.suppress(gdb.error):
                    gdb.newest_frame().select()
                set_registers(saved)


def state(thread):
    return str(thread["state"].cast(gdb.lookup_type("enum thread_state"))).replace("THREAD_", "")


def started():
    """False when the thread looked at has not run: then switching to it would jump to its very first instruction."""
    return gdb.newest_frame().pc() != address("arch_start")


def function(thread, runs):
    """Its function as the program sees it: the interrupted one, or the library's that parked it."""
    frame = gdb.newest_frame()
    if not started():
        return "%s, not started" % thread["start"].format_string(address=False).strip("<>")
    if thread["in_tick"]:
        while frame and frame.type() != gdb.SIGTRAMP_FRAME:
            frame = frame.older()
        frame = frame and frame.older()
    elif not runs:
        while frame and not (frame.name() or "").startswith("green_"):
            frame = frame.older()
    return (frame or gdb.newest_frame()).name() or "?"


class Command(gdb.Command):
    def invoke(self, argument, from_tty):
        address.cache_clear()  # the program may have been started anew
        try:
            gdb.write(self.text(argument))  # may stop to ask for the next page: only now, with the registers back
        except gdb.error as error:
            raise gdb.GdbError(str(error))


class Green(gdb.Command):
    """Green threads of libgreen: `green threads`, `green bt ID`."""

    def __init__(self):
        super().__init__("green", gdb.COMMAND_STACK, prefix=True)


class GreenThreads(Command):
    """List the green threads: id, state, name and function.  `[N]`: runs on gdb's thread N; `tick`: was preempted."""

    def __init__(self):
        super().__init__("green threads", gdb.COMMAND_STACK)

    def text(self, argument):
        running = carriers()
        lines = ["%-14s %-13s %-15s %s\n" % ("Id", "State", "Name", "Function")]
        for id, thread in threads().items():
            carrier = carrier_of(thread, running)
            word = state(thread).lower()
            if carrier:
                word += " [%d]" % carrier.num
            elif thread["in_tick"]:
                word += " tick"
            try:
                with looking_at(thread, carrier):
                    where = function(thread, carrier)
            except (gdb.error, gdb.GdbError):
                where = "-"
            lines.append("%-14d %-13s %-15s %s\n" % (id, word, thread["name"].string(errors="replace"), where))
        return "".join(lines)


class GreenBacktrace(Command):
    """Backtrace of a green thread: green bt ID [OPTION...], with the options of `bt`."""

    def __init__(self):
        super().__init__("green bt", gdb.COMMAND_STACK)

    def text(self, argument):
        id, _, options = argument.partition(" ")
        if not id:
            raise gdb.GdbError("green bt ID [OPTION...]; `green threads` lists the ids.")
        thread = threads().get(int(gdb.parse_and_eval(id)))
        if not thread:
            raise gdb.GdbError("No such thread.")
        with looking_at(thread, carrier_of(thread, carriers())):
            if started():
                return gdb.execute("bt " + options, to_string=True)
            return "Not started: %s\n" % thread["start"]


Green()
GreenThreads()
GreenBacktrace()
