"""The names of the files of a bundle, and the schema of its manifest."""

SCHEMA = 1
MANIFEST, VERDICT, CASES = "manifest.json", "verdict.json", "cases.json.gz"
TRANSFER, SAMPLES, ENVIRONMENT = "transfer.json", "samples.json", "environment.json"
SUMMARY, REPORT, PICTURES = "summary.md", "report.html", "pictures"
TABLE, TABLE_CSV = "table.md", "table.csv"
SEAL = "seal.json"
