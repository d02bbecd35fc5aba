# The table of `make bench`, from lines "run peer row value unit" in any order.
#
# A line for each row and peer: median, least and greatest of the runs, and the same of the peer's ratio to green,
# made within each run.  A value that is no number is shown as it is.  Rows without a ratio are percentages,
# which may be next to zero, and counts.
#
# POSIX awk, without a sort of its own.

BEGIN {
    row_count = split("yield yield_least create mutex pingpong channel late_p50 late_p99 late_beats " \
        "block_p50 block_p99 back_p50 back_p99 tick_10ms tick_1ms tick_100us " \
        "park_bytes park_ns park_leave_ns park_count park_bytes_1m park_ns_1m park_leave_ns_1m park_count_1m " \
        "timed timed_all timed_count sigmask signal_p50_2 signal_p99_2 contend_2 contend_cpu_2 contend_behind_2 contend_longest_2 " \
        "skynet_1 skynet_peak_1 fib_1 fib_peak_1 skynet_2 skynet_peak_2 fib_2 fib_peak_2", row_order, " ")
    peer_count = split("bare green nptl go go-channel boost", peer_order, " ")

    title["yield"] = "yield"
    title["yield_least"] = "the same, in the shortest ms"
    title["create"] = "create + join"
    title["mutex"] = "mutex lock + unlock"
    title["pingpong"] = "mutex + condvar round trip"
    title["channel"] = "round trip on two channels"
    title["late_p50"] = "1 ms heartbeat beside hog, p50"
    title["late_p99"] = "the same, p99"
    title["late_beats"] = "beats in it (3,000 or 10 s)"
    title["block_p50"] = "blocks: until another runs, p50"
    title["block_p99"] = "the same, p99"
    title["back_p50"] = "its end: until it goes on, p50"
    title["back_p99"] = "the same, p99"
    title["tick_10ms"] = "tick overhead, 10 ms slice"
    title["tick_1ms"] = "tick overhead, 1 ms slice"
    title["tick_100us"] = "tick overhead, 100 us slice"
    title["park_bytes"] = "memory of a parked thread"
    title["park_ns"] = "time to make and park it"
    title["park_leave_ns"] = "time to wake and join it"
    title["park_count"] = "parked threads"
    title["park_bytes_1m"] = "a million: memory of each"
    title["park_ns_1m"] = "time to make and park each"
    title["park_leave_ns_1m"] = "time to wake and join each"
    title["park_count_1m"] = "parked threads"
    title["timed"] = "CPU time of a timed wait"
    title["timed_all"] = "threads made and joined included"
    title["timed_count"] = "timed waits, 10 of each thread"
    title["skynet_1"] = "skynet, a million leaves"
    title["fib_1"] = "fib 30, fork-join"
    title["skynet_2"] = "skynet on two processors"
    title["fib_2"] = "fib 30 on two processors"
    title["skynet_peak_1"] = title["fib_peak_1"] = title["skynet_peak_2"] = title["fib_peak_2"] = "its peak memory"
    title["sigmask"] = "change of the signal mask"
    title["signal_p50_2"] = "signal to another processor, p50"
    title["signal_p99_2"] = "the same, p99"
    title["contend_2"] = "8 threads at one mutex, each lock"
    title["contend_cpu_2"] = "CPU time of each"
    title["contend_behind_2"] = "most of a thread / least"
    title["contend_longest_2"] = "longest wait of one of 64"
}

{
    seen[$3, $2]++
    value[$3, $2, $1] = $4
    unit[$3] = $5
    if ($1 > runs)
        runs = $1
}

# Sort list[1..n] of numbers.
function sort(list, n,    i, j, x) {
    for (i = 2; i <= n; i++) {
        x = list[i]
        for (j = i - 1; j >= 1 && list[j] > x; j--)
            list[j + 1] = list[j]
        list[j + 1] = x
    }
}

function median(list, n) {
    return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
}

function number(x,    size) {
    size = x < 0 ? -x : x
    return sprintf(size >= 100 || x == int(x) ? "%.0f" : size >= 10 ? "%.1f" : "%.2f", x)
}

# "median least greatest" in three columns; the median is left in `middle` for the targets.
function summary(list, n) {
    if (n == 0)
        return sprintf("%9s %9s %9s", "", "", "")
    sort(list, n)
    middle = median(list, n)
    return sprintf("%9s %9s %9s", number(middle), number(list[1]), number(list[n]))
}

function has_ratio(row) {
    return unit[row] == "ns" || unit[row] == "us" || unit[row] == "ms" || unit[row] == "bytes" || unit[row] == "MB"
}

function line(row, peer, label,    run, n, m, list, ratios, text, word) {
    for (run = 1; run <= runs; run++) {
        if (!((row, peer, run) in value))
            continue
        if (value[row, peer, run] !~ /^-?[0-9]/) {
            word = value[row, peer, run]
            continue
        }
        list[++n] = value[row, peer, run] + 0
        if (has_ratio(row) && value[row, "green", run] > 0)
            ratios[++m] = value[row, peer, run] / value[row, "green", run]
    }
    text = word ? sprintf("%9s %9s %9s", word, "", "") : summary(list, n)
    if (!word)
        result[row, peer] = middle
    text = text "  " summary(ratios, m)
    if (m)
        ratio[row, peer] = middle
    sub(/ +$/, "", text)
    printf "%-31s %-5s %-10s %s\n", label, label == "" ? "" : unit[row], peer, text
}

function verdict(what, x, holds) {
    if (!verdicts++)
        print "\nTargets"
    printf "  %-58s %9s  %s\n", what, number(x), holds ? "holds" : "MISSED"
}

# Green's own median is below the limit.
function below(what, row, limit) {
    if ((row, "green") in result)
        verdict(what, result[row, "green"], result[row, "green"] < limit)
}

# Green is so many times faster than the peer.
function faster(what, row, peer, times) {
    if ((row, peer) in ratio)
        verdict(what, ratio[row, peer], ratio[row, peer] >= times)
}

# Green costs at most so many times what the peer does.
function at_most(what, row, peer, times) {
    if ((row, peer) in ratio)
        verdict(what, 1 / ratio[row, peer], 1 / ratio[row, peer] <= times)
}

function targets() {
    at_most("yield at most 1.7x the bare switch", "yield", "bare", 1.7)
    at_most("the same, in the shortest ms", "yield_least", "bare", 1.7)
    faster("yield at least 2x faster than Go's", "yield", "go", 2)
    faster("create + join at least 3x faster than Go's", "create", "go", 3)
    at_most("mutex lock + unlock at most 1.2x NPTL's", "mutex", "nptl", 1.2)
    faster("mutex + condvar round trip at least 3x faster than Go's", "pingpong", "go", 3)
    faster("channel round trip at least 2x faster than Go's", "channel", "go", 2)
    below("heartbeat p50 below 30 us", "late_p50", 30)
    below("heartbeat p99 below 100 us", "late_p99", 100)
    below("blocked thread to another running, p50 below 100 us", "block_p50", 100)
    below("blocked thread to another running, p99 below 900 us", "block_p99", 900)
    below("tick overhead at 10 ms below 1 %", "tick_10ms", 1)
    below("tick overhead at 1 ms below 4 %", "tick_1ms", 4)
    faster("signal mask at least 10x cheaper than NPTL's", "sigmask", "nptl", 10)
    below("signal to another processor, p50 below 100 us", "signal_p50_2", 100)
    faster("contended mutex at least as fast as NPTL's", "contend_2", "nptl", 1)
    faster("contended mutex at least as fast as Go's", "contend_2", "go", 1)
    below("no contender more than 10x behind another", "contend_behind_2", 10)
    below("a parked thread below 12,000 bytes (100,000: 1.2 GB)", "park_bytes", 12000)
    faster("timed waits in no more CPU time than Go's", "timed", "go", 1)
    faster("skynet at least 4x faster than Go's", "skynet_1", "go", 4)
    faster("skynet on two processors at least 4x faster than Go's", "skynet_2", "go", 4)
    below("skynet below 100 MB", "skynet_peak_1", 100)
    below("skynet on two processors below 100 MB", "skynet_peak_2", 100)
}

function footnotes() {
    print "\nOne processor for everybody where no other number is named; the ratio is the peer's figure divided by green's"
    print "of the same run."
    print "bare        callee-saved registers, stack pointer and wrfsbase: no scheduler, no second thread."
    print "nptl        pinned to one CPU.  Lateness includes the kernel's timer slack (50 us unless set)."
    print "            The slice is the kernel's own, not 10 ms.  Parked threads cost the kernel memory that is in no"
    print "            figure here (kernel stack, task, guard pages' mappings).  Its rows of many threads have 10,000 and"
    print "            not 100,000, which a kernel does not allow everywhere.  Its channels are a mutex and a condition"
    print "            variable each."
    print "go          the slice is Go's own, 10 ms.  go-channel is its round trip on two channels.  In trees a result is"
    print "            sent on a channel, where green joins."
    print "boost       not preempted: no ticks, a heartbeat waits for the hog's end, and all wait for one that blocks."
    print "            Pooled stacks, no guard.  Trees are left out: it goes through them breadth first, in 5 to 9 GB."
}

END {
    printf "%-31s %-5s %-10s %9s %9s %9s  %9s %9s %9s\n", "median of " runs, "unit", "", "median", "min", "max",
        "x green", "min", "max"
    for (r = 1; r <= row_count; r++) {
        label = title[row_order[r]]
        for (p = 1; p <= peer_count; p++) {
            if (seen[row_order[r], peer_order[p]]) {
                line(row_order[r], peer_order[p], label)
                label = ""
            }
        }
    }
    targets()
    footnotes()
}
