package cli

import (
	"encoding/xml"
	"io"
	"strconv"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/policytest"
)

// The types describe a report in the XML format of JUnit, which CI systems read.
type (
	junitReport struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Time     string       `xml:"time,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		File     string      `xml:"file,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name      string        `xml:"name,attr"`
		Class     string        `xml:"classname,attr"`
		File      string        `xml:"file,attr"`
		Line      int           `xml:"line,attr,omitempty"`
		Time      string        `xml:"time,attr"`
		Failure   *junitTrouble `xml:"failure"`
		Error     *junitTrouble `xml:"error"`
		SystemOut string        `xml:"system-out,omitempty"`
	}
	junitTrouble struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
)

func writeJUnit(w io.Writer, suites []policytest.Suite) error {
	report, took := junitReport{}, 0.0
	for i := range suites {
		s := newJUnitSuite(&suites[i])
		took += tookMS(&suites[i])
		report.Tests, report.Failures, report.Errors = report.Tests+s.Tests, report.Failures+s.Failures, report.Errors+s.Errors
		report.Suites = append(report.Suites, s)
	}
	report.Time = seconds(took)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(report); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func newJUnitSuite(s *policytest.Suite) junitSuite {
	suite := junitSuite{Name: s.File, File: s.File, Failures: s.Failed()}
	for i := range s.Cases {
		t := &s.Cases[i]
		suite.Cases = append(suite.Cases, junitCase{
			Name: t.Name, Class: s.File, File: s.File, Line: t.Line, Time: seconds(t.TookMS), Failure: trouble("expectation", t.Failures), SystemOut: t.Seen.String(),
		})
	}
	if len(s.Problems) > 0 { // the cases did not run
		suite.Errors = 1
		suite.Cases = append(suite.Cases, junitCase{
			Name: "the files", Class: s.File, File: s.File, Line: s.Problems[0].Line, Time: seconds(0), Error: trouble("problem", s.Problems),
		})
	}
	suite.Tests, suite.Time = len(suite.Cases), seconds(tookMS(s))
	return suite
}

func tookMS(s *policytest.Suite) (sum float64) {
	for i := range s.Cases {
		sum += s.Cases[i].TookMS
	}
	return sum
}

func trouble(kind string, problems config.Problems) *junitTrouble {
	if len(problems) == 0 {
		return nil
	}
	return &junitTrouble{Message: problems[0].Message, Type: kind, Text: problems.Error()}
}

func seconds(ms float64) string { return strconv.FormatFloat(ms/1000, 'f', 3, 64) }
