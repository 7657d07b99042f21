package etcd

import (
	"fmt"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A watch that resumes sees the tombstones written meanwhile. One whose history is lost must start over, or it would ask
// forever for revisions that no longer exist.
func TestAWatchResumesUnlessItsHistoryIsLost(t *testing.T) {
	compacted, ahead := clientv3.WatchResponse{CompactRevision: 7}, clientv3.WatchResponse{Canceled: true}
	for name, tc := range map[string]struct {
		err  error
		lost bool
	}{
		"there was no leader":      {rpctypes.Error(rpctypes.ErrGRPCNoLeader), false},
		"a member was unreachable": {rpctypes.Error(status.Error(codes.Unavailable, "transport is closing")), false},
		"the connection was lost":  {errReconnect, false},
		"the watch ended":          {errWatchEnded, false},
		"the token has run out":    {rpctypes.ErrInvalidAuthToken, false},
		"compacted":                {compacted.Err(), true},
		"a revision to come":       {ahead.Err(), true},
		"the same by a wrapper":    {fmt.Errorf("watch: %w", rpctypes.ErrFutureRev), true},
		"another past":             {errOtherHistory, true},
		"time for a full list":     {errListAgain, true},
	} {
		if tc.err == nil || historyLost(tc.err) != tc.lost {
			t.Errorf("%s (%v): the past is lost: %v, want %v", name, tc.err, !tc.lost, tc.lost)
		}
	}
}
