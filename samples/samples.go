// Package samples registers the handlers that the samples in its folders run.
package samples
