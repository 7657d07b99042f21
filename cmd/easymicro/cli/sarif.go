package cli

import (
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/lint"
)

// The parts of SARIF 2.1.0 that validate writes:
// https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/sarif-v2.1.0-errata01-os-complete.html
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool       sarifTool                `json:"tool"`
		Bases      map[string]sarifArtifact `json:"originalUriBaseIds"`
		ColumnKind string                   `json:"columnKind"`
		Results    []sarifResult            `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID       string         `json:"id"`
		Short    sarifText      `json:"shortDescription"`
		Full     *sarifText     `json:"fullDescription,omitempty"`
		Help     *sarifText     `json:"help,omitempty"`
		Defaults sarifDefaults  `json:"defaultConfiguration"`
		Tags     sarifRuleExtra `json:"properties"`
	}
	sarifDefaults struct {
		Level string `json:"level"`
	}
	sarifRuleExtra struct {
		Tags []string `json:"tags"`
	}
	sarifText struct {
		Text     string `json:"text"`
		Markdown string `json:"markdown,omitempty"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId,omitempty"`
		RuleIndex *int            `json:"ruleIndex,omitempty"`
		Level     string          `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations,omitempty"`
		Ignored   []sarifIgnored  `json:"suppressions,omitempty"`
	}
	sarifIgnored struct {
		Kind   string `json:"kind"`
		Reason string `json:"justification"`
	}
	sarifLocation struct {
		Physical *sarifPhysical `json:"physicalLocation,omitempty"`
		Logical  []sarifLogical `json:"logicalLocations,omitempty"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   *sarifRegion  `json:"region,omitempty"`
	}
	sarifArtifact struct {
		URI         string     `json:"uri,omitempty"`
		BaseID      string     `json:"uriBaseId,omitempty"`
		Description *sarifText `json:"description,omitempty"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn"`
	}
	sarifLogical struct {
		Name string `json:"fullyQualifiedName"`
	}
)

// sourceRoot is the base of URIs for the current directory.
const sourceRoot = "%SRCROOT%"

// newSARIF returns the log of a run with these problems. Ignored ones are results that are suppressed.
func newSARIF(version string, problems config.Problems, ignored []config.Ignored) *sarifLog {
	run := sarifRun{
		ColumnKind: "unicodeCodePoints", Results: []sarifResult{},
		Bases: map[string]sarifArtifact{sourceRoot: {Description: &sarifText{Text: "The directory in which easymicro ran."}}},
		Tool:  sarifTool{sarifDriver{Name: "easymicro", Version: version}},
	}
	for _, p := range lint.Pages() {
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{
			ID: string(p.Code), Short: sarifText{Text: p.Title}, Full: &sarifText{Text: p.Text},
			Help: &sarifText{Text: p.Fix, Markdown: p.Markdown()}, Defaults: sarifDefaults{sarifLevel(p.Warning)},
			Tags: sarifRuleExtra{[]string{p.Code.Area()}},
		})
	}
	for i := range problems {
		run.add(&problems[i])
	}
	for i := range ignored {
		run.add(&ignored[i].Problem)
		run.Results[len(run.Results)-1].Ignored = []sarifIgnored{{"inSource", ignored[i].Reason}}
	}
	return &sarifLog{
		Schema:  "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
		Version: "2.1.0", Runs: []sarifRun{run},
	}
}

func sarifLevel(warning bool) string {
	if warning {
		return "warning"
	}
	return "error"
}

// add adds a problem as a result, and its rule if it is one of a handler.
func (r *sarifRun) add(p *config.Problem) {
	result := sarifResult{RuleID: string(p.Code), Level: sarifLevel(p.Warning)}
	if p.Code != "" {
		i := slices.IndexFunc(r.Tool.Driver.Rules, func(known sarifRule) bool { return known.ID == string(p.Code) })
		if i < 0 {
			i = len(r.Tool.Driver.Rules)
			r.Tool.Driver.Rules = append(r.Tool.Driver.Rules, sarifRule{
				ID: string(p.Code), Short: sarifText{Text: "a check of a handler"}, Defaults: sarifDefaults{sarifLevel(p.Code.Warning())},
				Tags: sarifRuleExtra{[]string{p.Code.Area()}},
			})
		}
		result.RuleIndex = &i
	}
	var at sarifLocation
	if p.Path != "" {
		at.Logical = []sarifLogical{{p.Path}}
	}
	text := *p
	if p.Line > 0 {
		at.Physical = &sarifPhysical{sarifFile(p.File), &sarifRegion{p.Line, max(p.Column, 1)}}
		text.File = ""
	}
	if at.Physical != nil || at.Logical != nil {
		result.Locations = []sarifLocation{at}
	}
	result.Message.Text = text.String()
	r.Results = append(r.Results, result)
}

// sarifFile returns the location of a file: relative to the current directory if it is below.
func sarifFile(file string) sarifArtifact {
	if !filepath.IsLocal(file) {
		if whole, err := filepath.Abs(file); err == nil {
			file = filepath.ToSlash(whole)
		}
		return sarifArtifact{URI: (&url.URL{Scheme: "file", Path: "/" + strings.TrimPrefix(file, "/")}).String()}
	}
	return sarifArtifact{URI: (&url.URL{Path: filepath.ToSlash(filepath.Clean(file))}).String(), BaseID: sourceRoot}
}
