"""What the catalog is asked by more than one address: an asset's record, and where bytes lie."""

from __future__ import annotations

from gateway.core.rpc_call import Rpc
from rushes.catalog.v1.assets_pb2 import Asset, GetAssetRequest
from rushes.catalog.v1.media_pb2 import LocateObjectRequest, StoredObject

GET_ASSET = Rpc("/rushes.catalog.v1.AssetService/GetAsset", GetAssetRequest, Asset)
LOCATE = Rpc("/rushes.catalog.v1.MediaService/LocateObject", LocateObjectRequest, StoredObject)
