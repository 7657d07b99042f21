package forecast

import "math"

// maxServers is the limit up to which the calls in flight are counted.
const maxServers = 10_000

// firstServer returns the number of calls in flight from which on overflow counts them one by one: what comes before it has no
// effect that can be seen.
func firstServer(limit int) int {
	const spread = 8 // times the square root, by which the calls in flight differ
	return max(limit-spread*int(math.Ceil(math.Sqrt(float64(limit)))), 0)
}

// overflow returns the share of the calls that a limit of calls in flight refuses (the formula of Erlang for a system with loss), if
// they come independently of each other. load is how many would be in flight without the limit.
func overflow(load float64, limit, queue int) float64 {
	if load <= 0 {
		return 0
	}
	if limit > maxServers {
		return max(1-float64(limit)/load, 0)
	}
	blocked, first := 1.0, firstServer(limit)
	if first > 0 {
		blocked = max(1-float64(first)/load, 0)
	}
	for n := first + 1; n <= limit; n++ {
		blocked = load * blocked / (float64(n) + load*blocked)
	}
	// Those that find all busy wait, as far as the queue goes.
	ratio, places := load/float64(limit), float64(queue)
	power, waiting := math.Pow(ratio, places), places
	if ratio != 1 {
		waiting = ratio * (power - 1) / (ratio - 1)
	}
	if power > 1e12 {
		return max(1-1/ratio, 0)
	}
	return blocked * power / (1 + blocked*waiting)
}
