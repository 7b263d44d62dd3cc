"""What every service needs and none owns."""

import os

# For gRPC, which reads it when it is imported. Its fork handlers are for children that use gRPC. Ours only
# become another program, and under uvloop one in five crashed in those handlers before it had.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
