// Package arch holds the rules about which package may import which, as a test.
package arch
