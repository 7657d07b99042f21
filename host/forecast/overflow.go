package forecast

// maxServers is the limit up to which the calls in flight are counted one by one.
const maxServers = 10_000

// overflow returns the share of the calls that a limit of calls in flight refuses (the formula of Erlang for a system with loss), if
// they come independently of each other. load is how many would be in flight without the limit.
func overflow(load float64, limit, queue int) float64 {
	if load <= 0 {
		return 0
	}
	if limit > maxServers {
		return max(1-float64(limit)/load, 0)
	}
	blocked := 1.0
	for n := 1; n <= limit; n++ {
		blocked = load * blocked / (float64(n) + load*blocked)
	}
	// Those that find all busy wait, as far as the queue goes.
	ratio, power, waiting := load/float64(limit), 1.0, 0.0
	for range min(queue, maxServers) {
		power *= ratio
		waiting += power
		if power > 1e12 {
			return max(1-1/ratio, 0)
		}
	}
	return blocked * power / (1 + blocked*waiting)
}
