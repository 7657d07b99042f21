package config

// Class says what a change of a field takes.
type Class string

// The classes, from the mildest to the strongest.
const (
	Live    Class = "live"    // from one call to the next
	Rolling Class = "rolling" // services or listeners are opened and closed, no call is lost
	Restart Class = "restart" // takes effect with the next start; until then it is pending
)

func (c Class) weight() int {
	switch c {
	case Restart:
		return 2
	case Rolling:
		return 1
	default:
		return 0
	}
}
