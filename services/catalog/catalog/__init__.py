"""The system of record: every record, and every decision about a job."""
