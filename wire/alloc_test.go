package wire

import "runtime/metrics"

// allocated returns the bytes allocated while f runs.
func allocated(f func()) uint64 {
	before := heapAllocs()
	f()
	return heapAllocs() - before
}

func heapAllocs() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
