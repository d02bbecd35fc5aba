// Fork-join trees: see tree.c.  A goroutine gives its result by a channel, as is usual in Go.
package main

import "time"

const (
	leaves    = 1000000
	arity     = 10
	fibN      = 30
	fibResult = 832040
)

func skynetNode(result chan int, first, leaves int) {
	if leaves == 1 {
		result <- first
		return
	}
	parts := make(chan int)
	for i := 0; i < arity; i++ {
		go skynetNode(parts, first+i*(leaves/arity), leaves/arity)
	}
	sum := 0
	for i := 0; i < arity; i++ {
		sum += <-parts
	}
	result <- sum
}

func fibNode(n int) int {
	if n < 2 {
		return n
	}
	part := make(chan int)
	go func() { part <- fibNode(n - 1) }()
	return fibNode(n-2) + <-part
}

func reportTree(name string, start time.Time, right bool) {
	elapsed := time.Since(start)
	if !right {
		panic(name)
	}
	report(name, float64(elapsed.Nanoseconds())/1e6, "ms")
	report(name+"_peak", statusBytes("VmHWM:")/1e6, "MB")
}

func skynet() {
	start := time.Now()
	root := make(chan int)
	go skynetNode(root, 0, leaves)
	reportTree("skynet", start, <-root == leaves*(leaves-1)/2)
}

func fib() {
	start := time.Now()
	reportTree("fib", start, fibNode(fibN) == fibResult)
}
