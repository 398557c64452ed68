"""The lanes of a night, their results, and the page that shows them: hack/nightly."""
