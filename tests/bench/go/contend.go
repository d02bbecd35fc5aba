// A mutex that everybody wants: see contend.c.
package main

import (
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

type contender struct {
	operations, longest int64
	_                   [48]byte
}

var (
	contended sync.Mutex
	shared    uint64 // guarded by contended
)

// race lets them run for so long and returns how long that was.
func race(run func(*contender, *atomic.Bool), contenders []contender, duration time.Duration) time.Duration {
	var over atomic.Bool
	var ready, all sync.WaitGroup
	begin := make(chan struct{})
	for i := range contenders {
		ready.Add(1)
		all.Add(1)
		go func(me *contender) {
			ready.Done()
			<-begin
			run(me, &over)
			all.Done()
		}(&contenders[i])
	}
	ready.Wait()
	start := time.Now()
	close(begin)
	time.Sleep(duration)
	over.Store(true)
	elapsed := time.Since(start)
	all.Wait()
	return elapsed
}

// cpuTime is what the process has used of it.
func cpuTime() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func contend() {
	few, many := make([]contender, 8), make([]contender, 64)
	used := cpuTime()
	elapsed := race(func(me *contender, over *atomic.Bool) {
		for !over.Load() {
			contended.Lock()
			shared++
			contended.Unlock()
			me.operations++
		}
	}, few, 500*time.Millisecond)
	used = cpuTime() - used
	sum, most, least := int64(0), few[0].operations, few[0].operations
	for i := range few {
		sum += few[i].operations
		if few[i].operations > most {
			most = few[i].operations
		}
		if few[i].operations < least {
			least = few[i].operations
		}
	}
	if least == 0 {
		least = 1
	}
	report("contend", float64(elapsed.Nanoseconds())/float64(sum), "ns")
	report("contend_cpu", float64(used)/float64(sum), "ns")
	report("contend_behind", float64(most)/float64(least), "x")
	race(func(me *contender, over *atomic.Bool) {
		for !over.Load() {
			since := time.Now()
			contended.Lock()
			waited := time.Since(since).Nanoseconds()
			shared = compute(shared, 1000)
			contended.Unlock()
			if waited > me.longest {
				me.longest = waited
			}
			me.operations++
		}
	}, many, 2*time.Second)
	longest := int64(0)
	for i := range many {
		if many[i].longest > longest {
			longest = many[i].longest
		}
	}
	report("contend_longest", float64(longest)/1e6, "ms")
}
