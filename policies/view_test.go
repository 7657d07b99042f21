package policies_test

import (
	"encoding/json"
	"testing"

	"github.com/easymicro/easymicro/policies"
)

func TestViewsMarshalAsTheAdminAPIShowsThem(t *testing.T) {
	for want, view := range map[string]any{
		`{"service":"","method":"","caller":"","revision":0,"kinds":null}`: policies.Explanation{},
		`{"kind":"","applies":null,"losers":null}`:                         policies.KindExplanation{},
		`{"rule":"","mode":"","enforced":false,"position":"","status":"","setting":"","decisions":{"allow":0,"reject":0,"wait":0,"shadow_reject":0}}`: policies.AppliedRule{},
		`{"rule":"","mode":"","position":"","reason":""}`:                                                      policies.LosingRule{},
		`{"name":"","mode":"","position":"","targets":0,"kinds":null}`:                                         policies.RuleState{},
		`{"kind":"","position":"","setting":"","decisions":{"allow":0,"reject":0,"wait":0,"shadow_reject":0}}`: policies.KindState{},
		`{"rule":"","mode":"","keyed":false,"tokens":0,"burst":0,"keys":0,"overflow":0,"missing_key":0}`:       policies.LimiterStats{},
		`{"rule":"","mode":"","target":"","state":""}`:                                                         policies.BreakerStats{},
	} {
		got, err := json.Marshal(view)
		if err != nil || string(got) != want {
			t.Errorf("%T: got %s (%v), want %s", view, got, err, want)
		}
	}
}
