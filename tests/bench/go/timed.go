// Timed waits of many goroutines: see timed.c.
package main

import (
	"sync"
	"time"
)

func timed() {
	const sleeps, least, span = 10, 1000, 99001
	count := threads()
	first := cpuTime()
	begin := make(chan struct{})
	var ready, all sync.WaitGroup
	ready.Add(count)
	all.Add(count)
	for i := 1; i <= count; i++ {
		go func(random uint64) {
			ready.Done()
			<-begin
			for j := 0; j < sleeps; j++ {
				random = compute(random, 1)
				duration, start := time.Duration(least+(random>>33)%span)*time.Microsecond, time.Now()
				time.Sleep(duration)
				if time.Since(start) < duration {
					panic("not the whole time")
				}
			}
			all.Done()
		}(uint64(i))
	}
	ready.Wait()
	before := cpuTime()
	close(begin)
	all.Wait()
	after := cpuTime()
	report("timed", float64(after-before)/float64(count*sleeps), "ns")
	report("timed_all", float64(after-first)/float64(count*sleeps), "ns")
	report("timed_count", float64(count*sleeps), "sleeps")
}
