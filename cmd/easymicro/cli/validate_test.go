package cli

import (
	"testing"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/lint"
)

func TestAnnotationsEscapeDelimiters(t *testing.T) {
	for _, tt := range []struct {
		p    config.Problem
		want string
	}{
		{
			config.Problem{File: "a,b:c%.yaml", Line: 4, Column: 17, Path: "rules[0]", Message: "x\ny: 50%"},
			"::error file=a%2Cb%3Ac%25.yaml,line=4,col=17::rules[0]: x%0Ay: 50%25",
		},
		{config.Problem{File: "p.yaml", Line: 1, Message: "m", Warning: true}, "::warning file=p.yaml,line=1,col=1::m"},
		{config.Problem{File: "EASYMICRO_LISTEN", Message: "no port"}, "::error::EASYMICRO_LISTEN: no port"},
		{config.Problem{Message: "m"}.Coded(lint.UnknownKey), "::error title=EM104 unknown key::m"},
		{config.Problem{File: "p.yaml", Line: 1, Column: 2, Message: "m"}.Coded(lint.Empty), "::error file=p.yaml,line=1,col=2,title=EM214 empty%2C so without effect::m"},
	} {
		if got := annotation(tt.p); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

func TestKindsOfFiles(t *testing.T) {
	for text, want := range map[string]fileKind{
		"services: []": manifestFile, "rules: []\nservices: []": manifestFile, "rules: []": policyFile, "- {caller: a}": tokenFile, "- {name: a, sha256: b}": adminTokenFile,
		"": manifestFile, "rules: [": manifestFile, "# nothing": manifestFile, "text": manifestFile,
		"---\n# head\n---\nrules: []\n": policyFile, "x-who: [a]\nrules: []": policyFile, "rules: []\n---\n": policyFile, "endpoints: []": endpointFile,
	} {
		if got := kindOf(config.OutlineOf([]byte(text))); got != want {
			t.Errorf("%q is %d, want %d", text, got, want)
		}
	}
}
