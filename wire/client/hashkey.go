package client

const (
	hashMetadata = "metadata"
	hashArgument = "argument"
)

func (cl *call) hashArgument(args any) {}
func (cl *call) hashPayload()          {}
func (s *slot) key() (uint64, bool)    { return s.call.hash, s.call.hashed }
