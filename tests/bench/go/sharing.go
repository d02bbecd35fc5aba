// Rows that measure how a processor is shared with code that only computes, and what waiting goroutines cost.
package main

import (
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func compute(seed uint64, rounds int) uint64 {
	for i := 0; i < rounds; i++ {
		seed = seed*6364136223846793005 + 1442695040888963407
	}
	return seed
}

// sum keeps the result of compute, so that the compiler must call it.
var sum [2]uint64

// lateness: see lateness.c.
func lateness() {
	const beats, period, allowed = 3000, time.Millisecond, 10 * time.Second
	var done atomic.Bool
	var both sync.WaitGroup
	both.Add(2)
	go func() {
		for !done.Load() {
			sum[0] = compute(sum[0], 1000)
		}
		both.Done()
	}()
	late := make([]time.Duration, 0, beats)
	go func() {
		start := time.Now()
		for now := start; len(late) < beats && now.Sub(start) < allowed; {
			due := now.Add(period)
			time.Sleep(period)
			now = time.Now()
			late = append(late, now.Sub(due))
		}
		done.Store(true)
		both.Done()
	}()
	both.Wait()
	reportPercentiles("late", late)
	report("late_beats", float64(len(late)), "beats")
}

// block: see block.c.
func block() {
	const blocks = 1000
	var done atomic.Bool
	var blockedAt atomic.Int64
	var both sync.WaitGroup
	both.Add(2)
	origin := time.Now()
	gaps, backs := make([]time.Duration, 0, blocks), make([]time.Duration, 0, blocks)
	go func() {
		for !done.Load() {
			if begin := blockedAt.Load(); begin != 0 {
				gaps = append(gaps, time.Since(origin)-time.Duration(begin))
				blockedAt.Store(0)
			}
			sum[0] = compute(sum[0], 100)
		}
		both.Done()
	}()
	go func() {
		for i := 0; i < blocks; i++ {
			for begin := time.Now(); time.Since(begin) < 200*time.Microsecond; {
				sum[1] = compute(sum[1], 1000)
			}
			begin := time.Since(origin)
			blockedAt.Store(int64(begin))
			syscall.Nanosleep(&syscall.Timespec{Nsec: 5000000}, nil)
			backs = append(backs, time.Since(origin)-begin-5*time.Millisecond)
			for blockedAt.Load() != 0 {
				runtime.Gosched()
			}
		}
		done.Store(true)
		both.Done()
	}()
	both.Wait()
	reportPercentiles("block", gaps)
	reportPercentiles("back", backs)
}

// tick: see tick.c.
func tick() {
	const rounds, loops = 13, 50000000
	beside, after := time.Hour, time.Hour
	for i := 0; i < rounds; i++ {
		var all sync.WaitGroup
		start := time.Now()
		for j := range sum {
			all.Add(1)
			go func(j int) {
				sum[j] = compute(sum[j], loops)
				all.Done()
			}(j)
		}
		all.Wait()
		if d := time.Since(start); d < beside {
			beside = d
		}
		start = time.Now()
		for j := range sum {
			all.Add(1)
			go func() {
				sum[j] = compute(sum[j], loops)
				all.Done()
			}()
			all.Wait()
		}
		if d := time.Since(start); d < after {
			after = d
		}
	}
	report("tick", (float64(beside)/float64(after)-1)*100, "%")
}

// parked: see parked.c.  A goroutine that waits for a channel to be closed is the cheapest there is.
func parked() {
	count := threads()
	leave := make(chan struct{})
	var started, left sync.WaitGroup
	park := func(n int) {
		started.Add(n)
		left.Add(n)
		for i := 0; i < n; i++ {
			go func() {
				started.Done()
				<-leave
				left.Done()
			}()
		}
		started.Wait()
	}
	park(1)
	before := memoryBytes()
	start := time.Now()
	park(count)
	elapsed := time.Since(start)
	report("park_bytes", (memoryBytes()-before)/float64(count), "bytes")
	report("park_ns", float64(elapsed.Nanoseconds())/float64(count), "ns")
	report("park_count", float64(count), "threads")
	start = time.Now()
	close(leave)
	left.Wait()
	report("park_leave_ns", float64(time.Since(start).Nanoseconds())/float64(count), "ns")
}
