// The driver of Go's rows: the same shapes as the rows in C, in the words a Go programmer would use (goroutines,
// WaitGroup, Mutex, Cond, channels, Gosched), on one processor (GOMAXPROCS=1, set by tests/bench/run).
package main

import (
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"
)

var rows = map[string]func(){
	"yield":            yield,
	"create":           create,
	"mutex":            mutex,
	"pingpong":         pingpong,
	"pingpong_channel": pingpongChannel,
	"channel":          channel,
	"lateness":         lateness,
	"block":            block,
	"tick":             tick,
	"parked":           parked,
	"skynet":           skynet,
	"fib":              fib,
	"contend":          contend,
	"timed":            timed,
}

func main() {
	if len(os.Args) == 2 {
		if row, ok := rows[os.Args[1]]; ok {
			row()
			return
		}
	}
	fmt.Fprintln(os.Stderr, "usage: go row, one of those of tests/bench/run")
	os.Exit(2)
}

func report(name string, value float64, unit string) {
	fmt.Printf("%s %.6g %s\n", name, value, unit)
}

// reportPercentiles sorts the values and reports their median and 99th percentile.
func reportPercentiles(name string, values []time.Duration) {
	sort.Slice(values, func(i, j int) bool { return values[i] < values[j] })
	report(name+"_p50", float64(values[len(values)/2].Nanoseconds())/1e3, "us")
	report(name+"_p99", float64(values[len(values)*99/100].Nanoseconds())/1e3, "us")
}

// nsPerOp calls batch(ops) for 0.4 s, after one call that is not counted.
func nsPerOp(batch func(int), ops int) float64 {
	batch(ops)
	done := 0
	for start := time.Now(); ; {
		batch(ops)
		done += ops
		if elapsed := time.Since(start); elapsed >= 400*time.Millisecond {
			return float64(elapsed.Nanoseconds()) / float64(done)
		}
	}
}

// statusBytes is the sum of those lines of the process's status, which are in kB.
func statusBytes(lines ...string) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	kilobytes := 0
	for _, line := range strings.Split(string(status), "\n") {
		fields := strings.Fields(line)
		for _, name := range lines {
			if len(fields) > 1 && fields[0] == name {
				n, err := strconv.Atoi(fields[1])
				if err != nil {
					panic(err)
				}
				kilobytes += n
			}
		}
	}
	return float64(kilobytes) * 1024
}

// memoryBytes is what this process occupies: resident memory plus page tables.
func memoryBytes() float64 {
	return statusBytes("VmRSS:", "VmPTE:")
}

// threads is BENCH_THREADS, or 100,000.
func threads() int {
	text := os.Getenv("BENCH_THREADS")
	if text == "" {
		return 100000
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return n
}
