// Rows that measure how goroutines are made and how they hand over to each other.
package main

import (
	"runtime"
	"sync"
)

func yield() {
	report("yield", nsPerOp(func(ops int) {
		var both sync.WaitGroup
		both.Add(2)
		for i := 0; i < 2; i++ {
			go func() {
				for j := 0; j < ops/2; j++ {
					runtime.Gosched()
				}
				both.Done()
			}()
		}
		both.Wait()
	}, 100000), "ns")
}

func create() {
	report("create", nsPerOp(func(ops int) {
		var one sync.WaitGroup
		for ; ops > 0; ops-- {
			one.Add(1)
			go one.Done()
			one.Wait()
		}
	}, 1000), "ns")
}

func mutex() {
	var m sync.Mutex
	report("mutex", nsPerOp(func(ops int) {
		for ; ops > 0; ops-- {
			m.Lock()
			m.Unlock()
		}
	}, 100000), "ns")
}

func pingpong() {
	var m sync.Mutex
	changed := sync.NewCond(&m)
	turn := 0
	report("pingpong", nsPerOp(func(ops int) {
		var both sync.WaitGroup
		both.Add(2)
		for side := 0; side < 2; side++ {
			go func(side int) {
				m.Lock()
				for i := 0; i < ops; i++ {
					for turn != side {
						changed.Wait()
					}
					turn = 1 - side
					changed.Signal()
				}
				m.Unlock()
				both.Done()
			}(side)
		}
		both.Wait()
	}, 20000), "ns")
}

// channel is the round trip on two channels.
func channel() {
	report("channel", channelRoundTrip(), "ns")
}

// pingpongChannel is how a Go programmer would rather do it.
func pingpongChannel() {
	report("pingpong", channelRoundTrip(), "ns")
}

func channelRoundTrip() float64 {
	ping, pong := make(chan struct{}), make(chan struct{})
	return nsPerOp(func(ops int) {
		var both sync.WaitGroup
		both.Add(2)
		go func() {
			for i := 0; i < ops; i++ {
				ping <- struct{}{}
				<-pong
			}
			both.Done()
		}()
		go func() {
			for i := 0; i < ops; i++ {
				<-ping
				pong <- struct{}{}
			}
			both.Done()
		}()
		both.Wait()
	}, 20000)
}
