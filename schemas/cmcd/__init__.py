"""Common Media Client Data (CTA-5004, CTA-5004-B): what players report by themselves, read and translated."""
