#!/bin/sh
# The gate of a training pipeline: may the exported model take the place of the one that serves?
#
#   ci-check.sh CANDIDATE STABLE MANIFEST
#
# CANDIDATE and STABLE are version directories (paths or s3:// URLs), MANIFEST is the
# SavedModelDeployment. Needs `pip install savedmodel-operator`; no TensorFlow, no cluster.
# Ends with 0 (upload it), 1 (refused: train or export again), 2 (the manifest or this call is
# wrong) or 4 (could not tell: try again); the report is left in check.json.
set -u
candidate=$1 stable=$2 manifest=$3

savedmodel lint "$manifest" >lint.txt
case $? in
  0) ;;
  1) cat lint.txt; echo "ci: the manifest is not valid"; exit 2 ;;
  2) echo "ci: not a manifest"; exit 2 ;;
  *) echo "ci: could not read the manifest"; exit 4 ;;
esac

savedmodel check "$candidate" --against "$stable" --manifest "$manifest" --deep -o json >check.json
code=$?
case $code in
  0) echo "ci: passed" ;;
  1) savedmodel check "$candidate" --against "$stable" --manifest "$manifest" --deep
     echo "ci: refused" ;;
  2) echo "ci: wrong call" ;;
  *) echo "ci: could not tell, this is no verdict" ;;
esac
exit $code
