package admin

import "github.com/easymicro/easymicro/config"

// Difference shows how the files of a host differ from what it runs.
type Difference struct {
	Revision int             `json:"revision"` // that runs
	Hash     string          `json:"hash"`     // of what runs
	Desired  string          `json:"desired"`  // hash of the files
	Changes  Changes         `json:"changes"`
	Forecast *Forecast       `json:"forecast,omitempty"` // nil: the changes cannot refuse a call
	Problems config.Problems `json:"problems"`           // of the edit: protection that it removes, calls that it lets through; errors would reject it
	Warnings config.Problems `json:"warnings"`           // of the files
}
