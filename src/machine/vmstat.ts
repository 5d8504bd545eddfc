/** What vmstat() answers.  Models the counters of include/linux/vm_event_item.h and mmzone.h that concern pins. */

/** Event counters of a machine, in pages unless said otherwise.  Those with a kernel name count as the kernel does. */
export interface VmStat {
  readonly nr_free_pages: number;
  /** references taken with FOLL_PIN */
  readonly nr_foll_pin_acquired: number;
  readonly nr_foll_pin_released: number;
  /** extents handed out by get_user_bvec(), split_user_bvec() and zero_user_bvec() (ours) */
  readonly nr_user_bvec_acquired: number;
  readonly nr_user_bvec_released: number;
  /** page faults handled */
  readonly pgfault: number;
  /** huge pages allocated by a fault */
  readonly thp_fault_alloc: number;
  /** faults that wanted a huge page and got a small one */
  readonly thp_fault_fallback: number;
  /** pages that were found bad when freed and are lost (ours) */
  readonly nr_bad_pages: number;
}
